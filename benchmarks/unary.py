"""Row 1: authenticated unary calls against a bare echo, as calls per second."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from benchmarks.bare_server import ECHO
from benchmarks.cpu import CpuMeter
from benchmarks.plan import Plan
from benchmarks.results import Row, Target
from benchmarks.rounds import Measure, Work, alternate, rate, ratios
from benchmarks.workspace import Workspace, bearer

TARGET = Target(0.5)
TENANT_ID = "ten_06c8e7j1p5d0nfvv8ch8c4rpbw"  # only its length matters


async def measure(workspace: Workspace) -> Sequence[Row]:
    """Compare a call that touches no store, which has the target, and one that reads Postgres."""
    stack, plan = workspace.stack, workspace.plan
    echo = stack.bare.unary_unary(
        ECHO,
        tenant_pb.WhoAmIResponse.SerializeToString,
        tenant_pb.WhoAmIResponse.FromString,
    )
    echoed = tenant_pb.WhoAmIResponse(
        tenant=tenant_pb.TenantPrincipal(tenant_id=TENANT_ID), server_version="0.1.0"
    )
    who, wanted = tenant_pb.WhoAmIRequest(), document_pb.GetCollectionRequest()
    wanted.collection_id = workspace.collection_id
    platform = bearer(stack.platform_key)
    meters = [CpuMeter(stack.bare_pid), CpuMeter(stack.node_pid), CpuMeter(stack.node_pid)]
    bare, who_am_i, get_collection = await alternate(
        plan,
        [
            _calls(plan, meters[0], lambda: echo(echoed)),
            _calls(plan, meters[1], lambda: workspace.tenants.WhoAmI(who, metadata=platform)),
            _calls(
                plan,
                meters[2],
                lambda: workspace.documents.GetCollection(wanted, metadata=workspace.metadata),
            ),
        ],
    )
    costs = [meter.microseconds for meter in meters]
    return [
        Row(
            key="unary",
            what="unary call (WhoAmI)",
            unit="calls/s",
            ours=who_am_i,
            baseline=bare,
            baseline_name="bare echo",
            figure=ratios(who_am_i, bare),
            figure_unit="x",
            target=TARGET,
            details={"server_cpu_us": costs[1], "baseline_cpu_us": costs[0]},
        ),
        Row(
            key="unary_postgres",
            what="unary call, Postgres (GetCollection)",
            unit="calls/s",
            ours=get_collection,
            baseline=bare,
            baseline_name="bare echo",
            figure=ratios(get_collection, bare),
            figure_unit="x",
            target=None,
            details={"server_cpu_us": costs[2], "baseline_cpu_us": costs[0]},
        ),
    ]


def _calls(plan: Plan, meter: CpuMeter, call: Callable[[], Coroutine[Any, Any, Any]]) -> Measure:
    async def once() -> int:
        await call()
        return 1

    return metered(meter, once, plan.callers)


def metered(meter: CpuMeter, work: Work, at_once: int) -> Measure:
    """Return a measurement of units per second that meters the server's CPU, too."""

    async def run(seconds: float) -> float:
        with meter.counting() as count:
            return await rate(count(work), at_once=at_once, seconds=seconds)

    return run
