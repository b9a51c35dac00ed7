"""Row 2: an answer's stream against a bare stream of the same messages, as messages per second."""

from __future__ import annotations

from collections.abc import Sequence

from minirag_sdk.v1 import chat_service_pb2 as pb

from benchmarks.bare_server import STREAM
from benchmarks.cpu import CpuMeter
from benchmarks.models import long_answer
from benchmarks.processes import BenchmarkError
from benchmarks.results import Row, Target
from benchmarks.rounds import alternate, ratios
from benchmarks.unary import metered
from benchmarks.workspace import CALL_SECONDS, Workspace

TARGET = Target(0.8)


async def measure(workspace: Workspace) -> Sequence[Row]:
    """Compare whole answers, from the question to the last event, with whole bare streams."""
    stack, plan = workspace.stack, workspace.plan
    assistant_id = await workspace.make_assistant(
        "streaming", long_answer(plan.answer_tokens), max_output_tokens=plan.answer_tokens
    )
    question = pb.SendMessageRequest(content="Say it all.", assistant_id=assistant_id)
    bare_stream = stack.bare.unary_stream(
        STREAM, pb.SendMessageRequest.SerializeToString, pb.SendMessageResponse.FromString
    )
    order = pb.SendMessageRequest(content=str(plan.answer_tokens))
    tokens = 0

    async def answer() -> int:
        nonlocal tokens
        messages = 0
        kind = ""
        async for event in workspace.chats.SendMessage(
            question, metadata=workspace.metadata, timeout=CALL_SECONDS
        ):
            messages += 1
            kind = event.WhichOneof("event")
        if kind != "completed":
            raise BenchmarkError(f"an answer ended with {kind or 'nothing'}")
        tokens = event.completed.message.usage.output_tokens
        return messages

    async def bare() -> int:
        messages = 0
        async for _ in bare_stream(order, timeout=CALL_SECONDS):
            messages += 1
        return messages

    meters = CpuMeter(stack.bare_pid), CpuMeter(stack.node_pid)
    baseline, ours = await alternate(
        plan, [metered(meters[0], bare, plan.streams), metered(meters[1], answer, plan.streams)]
    )
    return [
        Row(
            key="streaming",
            what="token streaming",
            unit="messages/s",
            ours=ours,
            baseline=baseline,
            baseline_name="bare stream",
            figure=ratios(ours, baseline),
            figure_unit="x",
            target=TARGET,
            details={
                "server_cpu_us": meters[1].microseconds,
                "baseline_cpu_us": meters[0].microseconds,
                "tokens_per_answer": tokens,
            },
        )
    ]
