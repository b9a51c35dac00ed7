"""Errors as statuses with details."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from minirag_sdk.v1.error_reason_pb2 import ErrorReason

from minirag import errors
from minirag.api.error_status import (
    STATUS_CODES,
    describe_error,
    describe_fault,
    describe_unknown_method,
)

TRAILER_LIMIT = 8 * 1024


def detail(status: Status, kind: type) -> object | None:
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None


def infos(status: Status) -> list[details_pb2.ErrorInfo]:
    found = []
    for packed in status.details:
        info = details_pb2.ErrorInfo()
        if packed.Unpack(info):
            found.append(info)
    return found


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidRequest("x"), StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (errors.NotFound("a", "b"), StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (errors.AlreadyExists("a", "b", "x"), StatusCode.ALREADY_EXISTS, "RESOURCE_ALREADY_EXISTS"),
        (errors.Conflict("x"), StatusCode.ABORTED, "CONCURRENT_EDIT"),
        (errors.Conflict("x", reason="REQUEST_ID_REUSED"), StatusCode.ABORTED, "REQUEST_ID_REUSED"),
        (errors.FailedPrecondition("x"), StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
        (errors.Unauthenticated("x"), StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
        (errors.PermissionDenied("x"), StatusCode.PERMISSION_DENIED, "SCOPE_MISSING"),
        (errors.LimitExceeded("x", subject="s"), StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"),
        (errors.Unavailable("x"), StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
        (errors.DeadlineExceeded("x"), StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (errors.ProviderRejected("x"), StatusCode.FAILED_PRECONDITION, "PROVIDER_REJECTED"),
        (errors.ProviderThrottled("x"), StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_THROTTLED"),
        (errors.ProviderUnavailable("x"), StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
        (errors.ProviderError("x"), StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
    ],
)
def test_each_class_has_its_status_and_exactly_one_reason_of_the_contract(
    error: errors.MiniRagError, code: StatusCode, reason: str
) -> None:
    status = describe_error(error)

    assert status is not None
    assert status.code == code.value[0]
    assert [(info.reason, info.domain) for info in infos(status)] == [(reason, "minirag")]
    assert f"ERROR_REASON_{reason}" in ErrorReason.keys()  # noqa: SIM118  # not a dict


def test_every_deliberate_error_but_a_parse_failure_has_a_status() -> None:
    def subclasses(kind: type) -> set[type]:
        return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))

    told = {kind for kind in subclasses(errors.MiniRagError) if kind.__module__ == "minirag.errors"}

    assert told - set(STATUS_CODES) == {errors.MiniRagError, errors.ParseFailure}
    assert describe_error(errors.ParseFailure("CORRUPT", "x")) is None


def test_a_reason_that_clients_do_not_know_becomes_its_class_default() -> None:
    status = describe_error(errors.Conflict("x", reason="SOMETHING_NEW"))

    assert [info.reason for info in infos(status)] == ["CONCURRENT_EDIT"]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.Unavailable("x"), 1.0),
        (errors.Unavailable("x", retry_after=2.5), 2.5),
        (errors.ProviderUnavailable("x"), 1.0),
        (errors.ProviderThrottled("x", retry_after=30), 30.0),
        (errors.ProviderThrottled("x"), None),
        (errors.Conflict("x", retry_after=4), 4.0),
        (errors.Conflict("x"), None),
    ],
)
def test_retry_info_is_given_when_known_and_for_what_is_away(
    error: errors.MiniRagError, seconds: float | None
) -> None:
    retry = detail(describe_error(error), details_pb2.RetryInfo)

    assert (None if retry is None else retry.retry_delay.ToMilliseconds() / 1000) == seconds


def test_a_status_fits_into_trailers_whatever_the_request_said() -> None:
    huge = "語" * 100_000
    violations = [errors.FieldViolation(huge, huge) for _ in range(1000)]

    for error in (
        errors.InvalidRequest(huge, violations),
        errors.NotFound("document", huge),
        errors.AlreadyExists("tenant", huge, huge),
        errors.LimitExceeded(huge, subject="document.bytes"),
    ):
        status = describe_error(error)
        # In trailers the message is percent-encoded, the details base64.
        size = len(status.message.encode()) * 3 + len(status.SerializeToString()) * 4 // 3
        assert size < TRAILER_LIMIT
    ordinary = [errors.FieldViolation("retrieval.limit", "y" * 200) for _ in range(10)]
    status = describe_error(errors.InvalidRequest("z" * 500, ordinary))
    assert len(status.message) + len(status.SerializeToString()) * 4 // 3 < TRAILER_LIMIT


def test_a_fault_tells_nothing_but_its_correlation_id() -> None:
    status = describe_fault("0123456789abcdef")

    assert status.code == StatusCode.INTERNAL.value[0]
    assert "0123456789abcdef" in status.message
    (info,) = infos(status)
    assert (info.reason, dict(info.metadata)) == (
        "INTERNAL",
        {"correlation_id": "0123456789abcdef"},
    )


def test_an_unknown_method_is_named() -> None:
    status = describe_unknown_method("/minirag.v1.ChatService/Shout")

    assert status.code == StatusCode.UNIMPLEMENTED.value[0]
    assert "Shout" in status.message
    assert [info.reason for info in infos(status)] == ["UNKNOWN_METHOD"]
