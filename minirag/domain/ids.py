"""Resource ids: a type prefix over a UUIDv7, as in `doc_0198c0f3c5f27f0ea8b1c2d3e4f50617`.

Inside the server an id is a `uuid.UUID`; the prefixed text exists at the API's edge only.
"""

from __future__ import annotations

import enum
from uuid import UUID, uuid5

from uuid_utils import uuid7

CHUNK_NAMESPACE = UUID("6f2d2a57-0c5e-5c1b-9f3a-6d0b8f5f4b21")


class IdKind(enum.StrEnum):
    """The prefix of each resource type."""

    TENANT = "ten"
    USER = "usr"
    API_KEY = "key"
    COLLECTION = "col"
    DOCUMENT = "doc"
    DOCUMENT_VERSION = "ver"
    CHUNK = "chk"
    UPLOAD = "upl"
    ASSISTANT = "ast"
    CONVERSATION = "cnv"
    MESSAGE = "msg"
    GENERATION = "gen"
    OPERATION = "op"
    AUDIT_EVENT = "aud"
    WEBHOOK = "whk"
    WEBHOOK_DELIVERY = "dlv"
    SOURCE = "src"
    SOURCE_PAGE = "pag"

    @property
    def resource_type(self) -> str:
        """As errors and the audit log name it: `api_key`."""
        return self.name.lower()


def new_id() -> UUID:
    """Return a fresh UUIDv7: unique, and ordered by creation time (RFC 9562)."""
    return UUID(int=uuid7().int)


def chunk_id(version_id: UUID, ordinal: int) -> UUID:
    """Return the id of a version's n-th chunk; the same inputs always give the same id."""
    return uuid5(CHUNK_NAMESPACE, f"{version_id}:{ordinal}")


def encode_id(kind: IdKind, value: UUID) -> str:
    """Return the text that clients see."""
    return f"{kind.value}_{value.hex}"


def decode_id(kind: IdKind, text: str) -> UUID | None:
    """Return the id behind a client's text, or None when it is malformed or of another type."""
    prefix, _, digits = text.partition("_")
    if prefix != kind.value or len(digits) != 32 or not digits.isascii():
        return None
    if digits != digits.lower():
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None
