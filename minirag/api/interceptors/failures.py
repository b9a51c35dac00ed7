"""What a failed call is answered with."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc.aio
import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no stubs
from grpc_status import rpc_status

from minirag.api.calls import Call, ServicerContext
from minirag.api.error_status import describe_error, describe_fault
from minirag.errors import MiniRagError, Unavailable

log = structlog.get_logger()

SHUTTING_DOWN = Unavailable(
    "the server is shutting down: retry on another connection", reason="SHUTTING_DOWN"
)
CODES = {code.value[0]: code for code in grpc.StatusCode}


def is_departure(error: BaseException) -> bool:
    """True for what ends a handler without an answer of ours.

    The call was cancelled or answered already, or its client is gone: gRPC must see these itself.
    (Swallowing a `CancelledError` leaks the native call.) A `UsageError` is a fault of ours.
    """
    if isinstance(error, grpc.aio.BaseError):
        return not isinstance(error, grpc.aio.UsageError)
    return not isinstance(error, Exception) or isinstance(error, asyncio.CancelledError)


def describe_failure(call: Call, error: BaseException) -> Status:
    """Return the status for an error; the text of an unexpected one goes to the log only."""
    status = describe_error(error) if isinstance(error, MiniRagError) else None
    if status is not None:
        return status
    log.error("call_failed", method=call.method, exc_info=error)
    return describe_fault(call.correlation_id)


async def abort_with(context: ServicerContext, status: Status) -> NoReturn:
    """End the call with a status and its details."""
    answer = rpc_status.to_status(status)
    await context.abort(answer.code, answer.details, answer.trailing_metadata)


def departure_code(context: ServicerContext, error: BaseException) -> str:
    """Return the name of the status that a call without an answer of ours ended with, for the log."""
    code = context.code()
    if isinstance(error, grpc.aio.AbortError) and code is not None:
        return code.name
    remaining = context.time_remaining()
    return "DEADLINE_EXCEEDED" if remaining is not None and remaining <= 0 else "CANCELLED"
