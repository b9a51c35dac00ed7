"""Pages of lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minirag.services.paging import Page


@given(st.integers(0, 40), st.integers(1, 10))
def test_pages_joined_are_the_whole_list(count: int, limit: int) -> None:
    everything = list(range(count))
    read: list[int] = []
    after: int | None = -1
    while after is not None:
        found = [item for item in everything if item > after][: limit + 1]
        page = Page.cut(found, limit, lambda item: item)
        assert len(page.items) <= limit
        read += page.items
        after = page.next_after

    assert read == everything


def test_page_that_is_exactly_full_is_the_last() -> None:
    page = Page.cut(["a", "b"], 2, str.upper)

    assert page == Page(("a", "b"), None)


def test_extra_item_tells_of_a_next_page_and_stays_out_of_this_one() -> None:
    page = Page.cut(["a", "b", "c"], 2, str.upper)

    assert page == Page(("a", "b"), "B")
