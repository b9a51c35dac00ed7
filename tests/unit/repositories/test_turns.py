"""Connections go to who came first, however busy it is."""

from __future__ import annotations

import asyncio

import pytest

from minirag.errors import Unavailable
from minirag.repositories.postgres.turns import Turns


async def test_nobody_is_overtaken_by_a_newcomer() -> None:
    turns = Turns(1, timeout=5)
    served: list[int] = []

    async def come(number: int) -> None:
        async with turns.take():
            served.append(number)
            await asyncio.sleep(0)
        if number < 100:  # and at once again
            await come(number + 10)

    await asyncio.gather(*(come(number) for number in range(10)))

    assert served == list(range(110))


async def test_who_waits_too_long_is_told_that_all_are_busy() -> None:
    turns = Turns(1, timeout=0.01)

    async with turns.take():
        with pytest.raises(Unavailable, match="busy"):
            async with turns.take():
                pytest.fail("there was one place")

    async with turns.take():
        pass


async def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    turns = Turns(1, timeout=5)
    done: list[str] = []

    async def come(name: str) -> None:
        async with turns.take():
            done.append(name)

    async with turns.take():
        first, second = (asyncio.create_task(come(name)) for name in ("first", "second"))
        await asyncio.sleep(0)
        first.cancel()
    await second

    assert done == ["second"]


async def test_without_a_pool_nobody_waits() -> None:
    turns = Turns(0, timeout=0.01)

    async with turns.take(), turns.take(), turns.take():
        pass
