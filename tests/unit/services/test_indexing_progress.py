"""Which chunks are indexed, in whatever order their batches end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minirag.services.indexing_progress import IndexingProgress


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 59), st.integers(1, 9)), max_size=20))
def test_progress_knows_every_chunk_that_was_added_and_no_other(
    total: int, batches: list[tuple[int, int]]
) -> None:
    progress = IndexingProgress(total)
    added: set[int] = set()

    for start, size in batches:
        end = min(start + size, total)
        if start < end:
            progress.add(start, end)
            added |= set(range(start, end))
        progress = IndexingProgress(total, progress.indexed, progress.ahead)

    position, missing = 0, set()
    while True:
        start, end = progress.find_gap(position)
        if start >= end:
            break
        missing |= set(range(start, end))
        position = end
    assert missing == set(range(total)) - added
    assert progress.is_complete == (not missing)
    assert progress.indexed == min(missing, default=total)


def test_batches_that_are_next_to_each_other_become_one_range() -> None:
    progress = IndexingProgress(100)

    for start in (40, 20, 30):
        progress.add(start, start + 10)

    assert (progress.indexed, progress.ahead) == (0, (20, 50))
    progress.add(0, 20)
    assert (progress.indexed, progress.ahead) == (50, ())


def test_pace_is_that_of_the_last_batches() -> None:
    clock = Clock()
    progress = IndexingProgress(10_000, now=clock)
    assert progress.chunks_per_second is None

    for number in range(100):
        clock.time += 100.0 if number < 50 else 2.0
        progress.add(number * 10, number * 10 + 10)

    assert progress.chunks_per_second == 5.0
