"""How much of a version is indexed, and how fast that goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

RECENT_BATCHES = 16
"""The pace is that of so many batches: a provider that was slow an hour ago tells nothing of now."""


class IndexingProgress:
    """The chunks of a version that are indexed: all before `indexed`, and ranges ahead of those.

    Several batches are under way at once, and the first may be the last to end: it has to wait for its
    provider, say, and the next ones needn't be paid for again because of that.
    """

    def __init__(
        self,
        total: int,
        indexed: int = 0,
        ahead: Sequence[int] = (),
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.indexed = indexed
        self._ranges = list(zip(ahead[::2], ahead[1::2], strict=True))
        self._now = now
        self._done = 0
        self._recent = deque([(now(), 0)], maxlen=RECENT_BATCHES)

    @property
    def is_complete(self) -> bool:
        return self.indexed >= self.total

    @property
    def ahead(self) -> tuple[int, ...]:
        """First and one past the last ordinal of each range past `indexed`, one after the other."""
        return tuple(place for pair in self._ranges for place in pair)

    @property
    def chunks_per_second(self) -> float | None:
        """The pace of the last batches; None before the first one."""
        (began, before), (ended, after) = self._recent[0], self._recent[-1]
        return (after - before) / (ended - began) if ended > began and after > before else None

    def find_gap(self, position: int) -> tuple[int, int]:
        """Return the first range from `position` on that isn't indexed; an empty one at the end."""
        start = max(position, self.indexed)
        for first, end in self._ranges:
            if start < first:
                return start, first
            start = max(start, end)
        return min(start, self.total), self.total

    def add(self, start: int, end: int) -> None:
        """Ordinals start..end are indexed now."""
        self._done += end - start
        self._recent.append((self._now(), self._done))
        self._ranges = sorted([*self._ranges, (start, end)])
        while self._ranges and self._ranges[0][0] <= self.indexed:
            self.indexed = max(self.indexed, self._ranges.pop(0)[1])
        merged: list[tuple[int, int]] = []
        for first, last in self._ranges:
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        self._ranges = merged
