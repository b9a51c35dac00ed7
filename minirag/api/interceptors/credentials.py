"""Finding the credential in a call's metadata."""

from __future__ import annotations

from collections.abc import Iterable

from minirag.errors import Unauthenticated

HEADER = "authorization"


def read_authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the value of the one `authorization` entry, or None when there is none.

    Raises `Unauthenticated` when it was sent more than once, since a proxy and this server might
    believe different ones, or when it isn't text. (`authorization-bin` is another header.)
    """
    found: str | bytes | None = None
    for key, value in metadata:
        if key == HEADER:
            if found is not None:
                raise Unauthenticated("more than one `authorization` entry: send exactly one")
            found = value
    if isinstance(found, bytes):
        raise Unauthenticated("the credential must be ASCII text: `authorization: Bearer <key>`")
    return found
