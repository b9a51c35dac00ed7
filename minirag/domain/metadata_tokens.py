"""Digests of metadata, which stand for it where no owner's text may be."""

from __future__ import annotations

import json
from hashlib import blake2b

from minirag.domain.documents import Metadata, MetadataValue


def metadata_tokens(metadata: Metadata) -> list[str]:
    """Return one digest per entry: 32 hex digits of key and value, ascending.

    Digests rather than values: equality of every type through one keyword index whatever the keys
    are, a small payload for long values, and no owner's text in the vector store. Numbers are equal
    by value (`1` and `1.0`); `True`, `1` and `"1"` differ.
    """
    return sorted(_token(key, value) for key, value in metadata.items())


def _token(key: str, value: MetadataValue) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    entry = json.dumps([key, value]).encode()
    return blake2b(entry, digest_size=16).hexdigest()
