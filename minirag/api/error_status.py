"""From an error to the `google.rpc.Status` that a client receives.

Every status carries exactly one `ErrorInfo`. A status travels in HTTP/2 trailers, which clients cap at
8 KiB by default, so that texts which may quote the request are cut.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details_pb2  # type: ignore[import-untyped]  # no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no stubs
from grpc import StatusCode
from minirag_sdk.v1.error_reason_pb2 import ErrorReason

from minirag import errors

DOMAIN = "minirag"
UNAVAILABLE_RETRY_SECONDS = 1.0
# Bytes of UTF-8.
MAX_MESSAGE = 500
MAX_NAME = 100
MAX_DESCRIPTION = 200
MAX_VIOLATIONS = 10
ELLIPSIS = "…"

_PREFIX = "ERROR_REASON_"
_REASONS = frozenset(name.removeprefix(_PREFIX) for name in ErrorReason.DESCRIPTOR.values_by_name)

STATUS_CODES: dict[type[errors.MiniRagError], tuple[StatusCode, str]] = {
    errors.InvalidRequest: (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    errors.NotFound: (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    errors.AlreadyExists: (StatusCode.ALREADY_EXISTS, "RESOURCE_ALREADY_EXISTS"),
    errors.Conflict: (StatusCode.ABORTED, "CONCURRENT_EDIT"),
    errors.FailedPrecondition: (StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
    errors.Unauthenticated: (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
    errors.PermissionDenied: (StatusCode.PERMISSION_DENIED, "SCOPE_MISSING"),
    errors.OutOfRange: (StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"),
    errors.LimitExceeded: (StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"),
    errors.Unavailable: (StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
    errors.DeadlineExceeded: (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.ProviderRejected: (StatusCode.FAILED_PRECONDITION, "PROVIDER_REJECTED"),
    errors.ProviderThrottled: (StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_THROTTLED"),
    errors.ProviderUnavailable: (StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
    errors.ProviderError: (StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
}
"""The status code of each class, and the reason where an instance names none that clients know."""


def describe_error(error: errors.MiniRagError) -> Status | None:
    """Return the status for a deliberate error, or None for one that must never reach a client."""
    for kind in type(error).__mro__:
        if kind in STATUS_CODES:
            code, default_reason = STATUS_CODES[kind]
            break
    else:
        return None
    reason = error.reason if error.reason in _REASONS else default_reason
    details: list[Message] = [_error_info(reason, error.metadata)]
    details.extend(_specifics(error))
    retry_after = error.retry_after
    if retry_after is None and code is StatusCode.UNAVAILABLE:
        retry_after = UNAVAILABLE_RETRY_SECONDS
    if retry_after is not None:
        details.append(details_pb2.RetryInfo(retry_delay=_duration(retry_after)))
    return _status(code, error.message, details)


def describe_fault(correlation_id: str) -> Status:
    """Return the status for anything unexpected; what happened stands in the log, under the id."""
    return _status(
        StatusCode.INTERNAL,
        f"the server failed; quote the correlation id {correlation_id} when you report it",
        [_error_info("INTERNAL", {"correlation_id": correlation_id})],
    )


def describe_unknown_method(method: str) -> Status:
    """Return the status for a method that the server doesn't have."""
    return _status(
        StatusCode.UNIMPLEMENTED,
        f"the server has no method {_cut(method, MAX_NAME)}: check its name, or list the methods"
        " with gRPC reflection",
        [_error_info("UNKNOWN_METHOD", {})],
    )


def _specifics(error: errors.MiniRagError) -> list[Message]:
    if isinstance(error, errors.InvalidRequest) and error.violations:
        shown = error.violations[:MAX_VIOLATIONS]
        return [
            details_pb2.BadRequest(
                field_violations=[
                    details_pb2.BadRequest.FieldViolation(
                        field=_cut(violation.field, MAX_NAME),
                        description=_cut(violation.description, MAX_DESCRIPTION),
                    )
                    for violation in shown
                ]
            )
        ]
    if isinstance(error, errors.NotFound | errors.AlreadyExists):
        return [
            details_pb2.ResourceInfo(
                resource_type=error.resource_type, resource_name=_cut(error.resource_name, MAX_NAME)
            )
        ]
    if isinstance(error, errors.LimitExceeded):
        violation = details_pb2.QuotaFailure.Violation(
            subject=error.subject, description=_cut(error.message, MAX_DESCRIPTION)
        )
        return [details_pb2.QuotaFailure(violations=[violation])]
    return []


def _error_info(reason: str, metadata: dict[str, str]) -> details_pb2.ErrorInfo:
    return details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _status(code: StatusCode, message: str, details: list[Message]) -> Status:
    packed = []
    for detail in details:
        one = Any()
        one.Pack(detail)
        packed.append(one)
    return Status(code=code.value[0], message=_cut(message, MAX_MESSAGE), details=packed)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(max(0, round(seconds * 1000)))
    return duration


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8: trailers are counted in bytes."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - len(ELLIPSIS.encode())].decode("utf-8", "ignore") + ELLIPSIS
