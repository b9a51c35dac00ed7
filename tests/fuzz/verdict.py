"""What an answer may be: a response, or a status with our details and nothing of anybody's secrets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status
from minirag_sdk.v1.error_reason_pb2 import ErrorReason

from tests.fuzz.contract import Rpc
from tests.fuzz.sending import Outcome

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_DETAILS = "grpc-status-details-bin"
_REASONS = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an answer; `kind` is INTERNAL, UNKNOWN, SECRET, DETAILS, LATE or BYTES."""

    kind: str
    said: str


def judge(
    rpc: Rpc, outcome: Outcome, secrets: Collection[str], *, largest: int = 0
) -> Iterator[Fault]:
    """Yield what is wrong with an answer to messages of up to `largest` bytes."""
    if any(secret in _everything(outcome) for secret in secrets):
        # Which one isn't told: this text is printed.
        yield Fault("SECRET", f"{outcome.code.name}: a planted secret came back")
    if outcome.code is grpc.StatusCode.OK or outcome.was_left:
        if not outcome.can_be_read(rpc):
            yield Fault("BYTES", "a response isn't a message of the method's response type")
        return
    said = f"{outcome.code.name}: {outcome.text[:300]}"
    if outcome.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
        yield Fault(outcome.code.name, said)
    elif outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED and largest > MAX_MESSAGE_BYTES:
        return  # gRPC's own answer, before it is a call of ours
    elif wrong := _check_details(outcome):
        is_late = outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED and not outcome.trailers
        yield Fault("LATE" if is_late else "DETAILS", f"{said} ({wrong})")


def _check_details(outcome: Outcome) -> str | None:
    """Say what is wrong with a status's details. What gRPC answers by itself has none."""
    packed = [value for key, value in outcome.trailers if key == _DETAILS]
    if len(packed) != 1 or not isinstance(packed[0], bytes):
        return "no details"
    try:
        status = Status.FromString(packed[0])
    except DecodeError:
        return "details that can't be read"
    infos = []
    for detail in status.details:
        if detail.Is(details_pb2.ErrorInfo.DESCRIPTOR):
            info = details_pb2.ErrorInfo()
            detail.Unpack(info)
            infos.append(info)
    if len(infos) != 1:
        return f"{len(infos)} ErrorInfo"
    if infos[0].domain != "minirag" or infos[0].reason not in _REASONS:
        return f"reason {infos[0].reason!r} of {infos[0].domain!r}"
    if status.code != outcome.code.value[0] or status.message != outcome.text:
        return "details of another status"
    return None


def _everything(outcome: Outcome) -> str:
    """All that was answered, as text."""
    parts = [outcome.text.encode(), *outcome.responses]
    for key, value in outcome.trailers:
        parts += [key.encode(), value if isinstance(value, bytes) else value.encode()]
    return b"\n".join(parts).decode("utf-8", "replace")
