"""Row 4: ingestion against the same steps in a plain loop, as chunks per second."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import Row, Target
from benchmarks.rounds import alternate, ratios
from benchmarks.workspace import Workspace

TARGET = Target(0.9)


async def measure(workspace: Workspace) -> Sequence[Row]:
    """Compare documents from upload to READY with the same documents in a plain loop."""
    plan, plain = workspace.plan, workspace.stack.plain
    starts = {"loop": plan.library, "node": plan.library}
    chunks = {"loop": 0, "node": 0}

    def take(side: str) -> range:
        first = starts[side]
        starts[side] += plan.documents
        return range(first, starts[side])

    async def loop(_seconds: float) -> float:
        numbers = take("loop")
        done = await plain.do("ingest", first=numbers.start, count=len(numbers))
        chunks["loop"] += int(done["chunks"])
        return float(done["chunks"] / done["seconds"])

    async def node(_seconds: float) -> float:
        done = await workspace.ingest(take("node"))
        chunks["node"] += done.chunks
        return done.chunks / done.seconds

    baseline, ours = await alternate(plan, [loop, node])
    if chunks["loop"] != chunks["node"]:
        raise AssertionError(f"the two sides made {chunks} chunks of the same documents")
    return [
        Row(
            key="ingestion",
            what="ingestion, upload to READY",
            unit="chunks/s",
            ours=ours,
            baseline=baseline,
            baseline_name="plain loop",
            figure=ratios(ours, baseline),
            figure_unit="x",
            target=TARGET,
            details={
                "documents": plan.documents * plan.rounds,
                "chunks_per_document": round(chunks["node"] / (starts["node"] - plan.library), 1),
            },
        )
    ]
