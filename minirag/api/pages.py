"""Pages of lists: what a list request asks for, and the page that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from minirag.api.calls import current_call
from minirag.api.page_tokens import decode_page_token, encode_page_token, list_scope
from minirag.api.validation import RequestCheck
from minirag.domain.access import TenantContext
from minirag.services.paging import Page

T = TypeVar("T")
K = TypeVar("K")
M = TypeVar("M", bound=Message)

PAGE_BYTES = 3 * 1024 * 1024
"""A page ends early here, so that it fits into the 4 MiB that clients accept by default."""
ORDINAL_BYTES = 8
LARGEST_ORDINAL = 2**31 - 1
"""More the database can't hold: such a token was made up."""


class ListRequest(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str

    def ClearField(self, field_name: str) -> None: ...  # noqa: N802  # protobuf's

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802  # protobuf's


@dataclass(frozen=True, slots=True)
class PageQuery(Generic[K]):
    """Which page of which list is wanted."""

    limit: int
    after: K | None
    scope: bytes
    encode_key: Callable[[K], bytes]

    def fill(
        self,
        page: Page[T, K],
        items: Appendable[M],
        encode: Callable[[T], M],
        key: Callable[[T], K],
    ) -> str:
        """Append the page's items to the response, and return its `next_page_token`.

        Large items make the page shorter than was asked for; the token then continues after the last
        one that is in.
        """
        size = 0
        for index, item in enumerate(page.items):
            message = encode(item)
            size += message.ByteSize()
            if index and size > PAGE_BYTES:
                return self._token(key(page.items[index - 1]))
            items.append(message)
        return self.token(page.next_after)

    def token(self, next_after: K | None) -> str:
        """Return the `next_page_token` of a page that ends at `next_after`; empty at the end of the list."""
        return "" if next_after is None else self._token(next_after)

    def _token(self, key: K) -> str:
        return encode_page_token(self.scope, self.encode_key(key))


M_contra = TypeVar("M_contra", bound=Message, contravariant=True)


class Appendable(Protocol[M_contra]):
    """A repeated message field."""

    def append(self, value: M_contra, /) -> None: ...


def read_id_page(check: RequestCheck, request: ListRequest) -> PageQuery[UUID]:
    """Read the page of a list that is ordered by id."""
    limit, scope, key = _read(check, request, key_bytes=16)
    after = None if key is None else UUID(bytes=key)
    return PageQuery(limit, after, scope, lambda value: value.bytes)


def read_ordinal_page(check: RequestCheck, request: ListRequest) -> PageQuery[int]:
    """Read the page of a list that is ordered by a number from 0."""
    limit, scope, key = _read(check, request, key_bytes=ORDINAL_BYTES)
    after = None if key is None else int.from_bytes(key, "big")
    if after is not None and after > LARGEST_ORDINAL:
        _refuse_token(check)
    return PageQuery(limit, after, scope, lambda value: value.to_bytes(ORDINAL_BYTES, "big"))


def _read(
    check: RequestCheck, request: ListRequest, *, key_bytes: int
) -> tuple[int, bytes, bytes | None]:
    size, token = request.page_size, request.page_token
    limit = check.page_size(size)
    call = current_call()
    owner = call.caller.tenant_id.bytes if isinstance(call.caller, TenantContext) else b""
    # What is left of the request are its filters: a token continues only the list it came from.
    request.ClearField("page_size")
    request.ClearField("page_token")
    scope = list_scope(call.method, owner, request.SerializeToString(deterministic=True))
    if not token:
        return limit, scope, None
    key = decode_page_token(scope, token, key_bytes)
    if key is None:
        _refuse_token(check)
    return limit, scope, key


def _refuse_token(check: RequestCheck) -> None:
    check.refuse(
        "page_token",
        "isn't a token of this list: send the next_page_token of the page before, and the same"
        " other fields",
    )
