"""The identity of a mutation that may be sent twice."""

from __future__ import annotations

import hmac
from typing import Protocol
from uuid import UUID

from minirag.services.ports.requests import RequestKey


class RepeatableRequest(Protocol):
    """A request, or an upload's header, with a `request_id`."""

    request_id: str

    def ClearField(self, field_name: str) -> None: ...  # noqa: N802  # protobuf's

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802  # protobuf's


def request_key(
    method: str, request: RepeatableRequest, request_id: UUID | None
) -> RequestKey | None:
    """Return the key of a request with an id, None without one.

    `request_id` is the request's own, checked already. The fingerprint is an HMAC-SHA-256 of everything
    else that the request says, keyed by it.
    """
    if request_id is None:
        return None
    text = request.request_id
    request.ClearField("request_id")
    try:
        body = request.SerializeToString(deterministic=True)
    finally:
        request.request_id = text
    # Under the id, which the database holds a hash of: passwords and keys can't be guessed by it.
    fingerprint = hmac.digest(request_id.bytes, body, "sha256")
    return RequestKey(request_id, method, fingerprint)
