"""Pages of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Page(Generic[T, K]):
    """Some items, and the key after which the next page starts; None when this is the last."""

    items: tuple[T, ...]
    next_after: K | None

    @classmethod
    def cut(cls, found: Sequence[T], limit: int, key: Callable[[T], K]) -> Page[T, K]:
        """Make a page of `limit` from up to `limit + 1` found items: the extra one tells of a next."""
        items = tuple(found[:limit])
        return cls(items, key(items[-1]) if len(found) > limit else None)
