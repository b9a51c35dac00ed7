"""The short form of `make fuzz`, and that what judges can condemn."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status

from minirag.api.method_table import METHOD_TABLE
from tests.fuzz.campaign import Campaign, node_settings
from tests.fuzz.contract import Rpc, find_rpcs
from tests.fuzz.sending import Outcome
from tests.fuzz.verdict import judge
from tests.mock_provider import MockProvider
from tests.support.node import NodeProcess
from tests.support.servers import open_directory

CALLS = 3000
SEED = 20_251_125
REFUSED = grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def node(mock_provider: MockProvider) -> Iterator[NodeProcess]:
    with open_directory() as directory:
        node = NodeProcess(directory, node_settings(mock_provider.url))
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.mark.long
@pytest.mark.timeout(300)  # some seconds alone, and minutes on a busy machine
async def test_no_request_makes_the_server_fail_or_tell_a_secret(node: NodeProcess) -> None:
    tally = await Campaign(node, find_rpcs(), calls=CALLS, chosen_seed=SEED).run()

    assert tally.calls == CALLS
    assert [(request.rpc.name, fault) for request, _, fault in tally.faults] == []
    assert tally.tracebacks == []
    assert tally.crashes == 0
    assert set(tally.codes) == {rpc.name for rpc in find_rpcs()}
    assert tally.total("OK") > CALLS / 20


def test_every_rpc_of_the_method_table_is_called() -> None:
    assert {rpc.path for rpc in find_rpcs()} >= set(METHOD_TABLE)


def rpc_named(name: str) -> Rpc:
    return next(rpc for rpc in find_rpcs() if rpc.name == name)


def refused(text: str = "not found", *, infos: int = 1, domain: str = "minirag") -> Outcome:
    """A refusal with details, right unless told otherwise."""
    status = Status(code=REFUSED.value[0], message=text)
    for _ in range(infos):
        packed = Any()
        packed.Pack(details_pb2.ErrorInfo(reason="RESOURCE_NOT_FOUND", domain=domain))
        status.details.append(packed)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    return Outcome(REFUSED, text, trailers)


OUTCOMES = {
    "a response": (Outcome(grpc.StatusCode.OK, responses=[b""]), []),
    "a refusal": (refused(), []),
    "no details": (Outcome(REFUSED, "not found"), ["DETAILS"]),
    "details twice": (refused(infos=2), ["DETAILS"]),
    "another's details": (refused(domain="elsewhere"), ["DETAILS"]),
    "a secret in the text": (refused("no such key: hunter2-hunter2"), ["SECRET"]),
    "a secret in a response": (
        Outcome(grpc.StatusCode.OK, responses=[b"\x0a\x11\x0a\x0fhunter2-hunter2"]),
        ["SECRET"],
    ),
    "a fault": (Outcome(grpc.StatusCode.INTERNAL, "the server failed"), ["INTERNAL"]),
    "gRPC's fault": (Outcome(grpc.StatusCode.UNKNOWN, "Unexpected error"), ["UNKNOWN"]),
    "no answer in time": (
        Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        ["LATE"],
    ),
    "another message": (Outcome(grpc.StatusCode.OK, responses=[b"\xff"]), ["BYTES"]),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_faults_are_told_from_answers(name: str) -> None:
    outcome, expected = OUTCOMES[name]

    faults = judge(rpc_named("TenantService/GetTenant"), outcome, {"hunter2-hunter2"})

    assert [fault.kind for fault in faults] == expected
