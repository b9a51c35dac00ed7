"""Reading a refused call's status and details."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.rpc import error_details_pb2 as details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    """A status as a client decodes it. `violations` is description by field."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    info_count: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    resource: tuple[str, str] | None = None
    quota_subject: str | None = None
    retry_seconds: float | None = None


def decode_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what an error's details say."""
    status = rpc_status.from_call(error)
    found: dict[str, object] = {}
    infos = 0
    for packed in status.details if status is not None else ():
        if packed.Is(details_pb2.ErrorInfo.DESCRIPTOR):
            info = details_pb2.ErrorInfo()
            packed.Unpack(info)
            infos += 1
            found |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif packed.Is(details_pb2.BadRequest.DESCRIPTOR):
            bad = details_pb2.BadRequest()
            packed.Unpack(bad)
            found["violations"] = {one.field: one.description for one in bad.field_violations}
        elif packed.Is(details_pb2.ResourceInfo.DESCRIPTOR):
            resource = details_pb2.ResourceInfo()
            packed.Unpack(resource)
            found["resource"] = (resource.resource_type, resource.resource_name)
        elif packed.Is(details_pb2.QuotaFailure.DESCRIPTOR):
            quota = details_pb2.QuotaFailure()
            packed.Unpack(quota)
            found["quota_subject"] = quota.violations[0].subject
        elif packed.Is(details_pb2.RetryInfo.DESCRIPTOR):
            retry = details_pb2.RetryInfo()
            packed.Unpack(retry)
            found["retry_seconds"] = retry.retry_delay.ToMilliseconds() / 1000
        else:
            raise AssertionError(f"an unexpected detail: {packed.type_url}")
    return Refusal(error.code(), error.details() or "", info_count=infos, **found)  # type: ignore[arg-type]  # by name


async def refusal(call: Awaitable[object]) -> Refusal:
    """Wait for a call that must fail, and return what it was refused with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return decode_refusal(error)
    raise AssertionError("the call succeeded")
