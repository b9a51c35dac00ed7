"""Row 3: the way to the first token against the same steps called directly, as milliseconds more."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from minirag_sdk.v1 import chat_service_pb2 as pb

from benchmarks import texts
from benchmarks.models import FIRST_TOKEN_MODEL
from benchmarks.processes import BenchmarkError
from benchmarks.results import Row, Target
from benchmarks.rounds import alternate, differences
from benchmarks.workspace import CALL_SECONDS, Workspace

TARGET = Target(3.5, is_upper_limit=True)
QUESTIONS_AT_ONCE = 5
"""Questions asked one after the other before the other side has its turn."""


async def measure(workspace: Workspace) -> Sequence[Row]:
    """Compare the medians of one caller's wait, question after question."""
    stack, plan = workspace.stack, workspace.plan
    assistant_id = await workspace.make_assistant("first token", FIRST_TOKEN_MODEL)
    asked = {"direct": 0, "node": 0}

    def next_numbers(side: str) -> list[int]:
        start = asked[side]
        asked[side] += QUESTIONS_AT_ONCE
        return [number % plan.library for number in range(start, asked[side])]

    async def direct(seconds: float) -> float:
        waits: list[float] = []
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            answer = await stack.plain.do("ask", numbers=next_numbers("direct"))
            waits += answer["milliseconds"]
        return statistics.median(waits)

    async def node(seconds: float) -> float:
        waits: list[float] = []
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            waits += [await ask(number) for number in next_numbers("node")]
        return statistics.median(waits)

    async def ask(number: int) -> float:
        request = pb.SendMessageRequest(content=texts.question(number), assistant_id=assistant_id)
        first = 0.0
        started = time.perf_counter()
        async for event in workspace.chats.SendMessage(
            request, metadata=workspace.metadata, timeout=CALL_SECONDS
        ):
            if not first and event.WhichOneof("event") == "delta":
                first = time.perf_counter()
        if not first:
            raise BenchmarkError("an answer held no delta")
        return (first - started) * 1000

    baseline, ours = await alternate(plan, [direct, node])
    return [
        Row(
            key="first_token",
            what="time to first token, p50",
            unit="ms",
            ours=ours,
            baseline=baseline,
            baseline_name="direct calls",
            figure=differences(ours, baseline),
            figure_unit="ms",
            target=TARGET,
            details={"questions": asked["node"]},
        )
    ]
