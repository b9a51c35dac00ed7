"""Every error that MiniRAG raises on purpose, drawn as a tree.

The API layer turns each class into one gRPC status; nothing else decides on status codes.

    MiniRagError
    ├── InvalidRequest          INVALID_ARGUMENT     the caller must change the request
    ├── NotFound                NOT_FOUND            absent, deleted, malformed id, or another tenant's
    ├── AlreadyExists           ALREADY_EXISTS       a unique name is taken
    ├── Conflict                ABORTED              etag or request_id disagrees with what is stored
    ├── FailedPrecondition      FAILED_PRECONDITION  the resource's state forbids it
    ├── Unauthenticated         UNAUTHENTICATED      no credential, or one that doesn't hold
    ├── PermissionDenied        PERMISSION_DENIED    a valid credential without the right
    ├── OutOfRange              OUT_OF_RANGE         a position that can't be continued from any more
    ├── LimitExceeded           RESOURCE_EXHAUSTED   a size, quota or rate limit
    ├── Unavailable             UNAVAILABLE          a dependency is away; retrying helps
    ├── DeadlineExceeded        DEADLINE_EXCEEDED    the caller's time ran out
    ├── ProviderError           (per subclass)       a model provider failed
    │   ├── ProviderRejected    FAILED_PRECONDITION  wrong key, unknown model, refused content
    │   ├── ProviderThrottled   RESOURCE_EXHAUSTED   429; `retry_after` when the provider said so
    │   └── ProviderUnavailable UNAVAILABLE          5xx, time-out, broken stream
    └── ParseFailure            never a status       ends a document as FAILED, with a reason for people

Messages are written for the caller: what is wrong, and what to do next. They never hold secrets,
SQL, host names or another tenant's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: the protobuf path (`retrieval.limit`) and what would be right."""

    field: str
    description: str


class MiniRagError(Exception):
    """Base of all deliberate errors.

    `reason` is a name of the `ErrorReason` enum in `error_reason.proto` without its prefix.
    """

    reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.retry_after = retry_after
        """Seconds after which a retry makes sense; None when unknown."""
        self.metadata = metadata or {}
        self.caller: object | None = None
        """Who was refused, if the credential was good enough to tell: for the audit log, not for answers."""


class InvalidRequest(MiniRagError):
    """The request itself is wrong; `violations` names each field."""

    reason = "INVALID_REQUEST"

    def __init__(
        self, message: str, violations: Sequence[FieldViolation] = (), *, reason: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.violations = tuple(violations)

    @classmethod
    def field(cls, field: str, description: str) -> InvalidRequest:
        """One wrong field, whose description is the message as well."""
        return cls(f"{field}: {description}", [FieldViolation(field, description)])


class NotFound(MiniRagError):
    """No such resource for this caller. Malformed, foreign and missing ids look the same."""

    reason = "RESOURCE_NOT_FOUND"

    def __init__(self, resource_type: str, resource_name: str) -> None:
        super().__init__(f"{resource_type} {resource_name!r} was not found; check the id")
        self.resource_type = resource_type
        self.resource_name = resource_name


class AlreadyExists(MiniRagError):
    reason = "RESOURCE_ALREADY_EXISTS"

    def __init__(self, resource_type: str, resource_name: str, message: str) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_name = resource_name


class Conflict(MiniRagError):
    reason = "CONCURRENT_EDIT"


class FailedPrecondition(MiniRagError):
    reason = "FAILED_PRECONDITION"


class Unauthenticated(MiniRagError):
    reason = "CREDENTIAL_INVALID"


class PermissionDenied(MiniRagError):
    reason = "SCOPE_MISSING"


class OutOfRange(MiniRagError):
    reason = "RESUME_TOKEN_EXPIRED"


class LimitExceeded(MiniRagError):
    """A limit was met. `subject` names it, as in `document.bytes`."""

    reason = "LIMIT_EXCEEDED"

    def __init__(
        self,
        message: str,
        *,
        subject: str,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)
        self.subject = subject


class Unavailable(MiniRagError):
    reason = "DEPENDENCY_UNAVAILABLE"


class DeadlineExceeded(MiniRagError):
    reason = "DEADLINE_EXCEEDED"


class ProviderError(MiniRagError):
    reason = "PROVIDER_FAILED"
    may_be_charged = False
    """True when the provider did work before it failed, or may have; a call that it refused costs nothing."""


class ProviderRejected(ProviderError):
    reason = "PROVIDER_REJECTED"


class ProviderThrottled(ProviderError):
    reason = "PROVIDER_THROTTLED"


class ProviderUnavailable(ProviderError):
    reason = "PROVIDER_UNAVAILABLE"


class ParseFailure(MiniRagError):
    """A document's bytes can't be read. `code` is a `FailureCode` name; the message is for people."""

    reason = "DOCUMENT_UNREADABLE"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
