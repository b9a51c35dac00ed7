"""Turns of tenants: fair in the long run, whoever comes and goes."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from minirag.domain.turns import MOST_PAST, Turns


def _serve(turns: Turns, waiting: dict[UUID, float], count: int) -> Counter[UUID]:
    """Give so many turns to tenants (and their weights) that always have more to do."""
    served: Counter[UUID] = Counter()
    for _ in range(count):
        tenant_id = min(waiting, key=lambda each: (turns.find_start(each), each))
        turns.note(tenant_id, waiting[tenant_id])
        served[tenant_id] += 1
    return served


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 200))
def test_no_tenant_is_ever_more_than_a_turn_ahead_of_its_share(
    weights: list[int], count: int
) -> None:
    waiting = {UUID(int=number): float(weight) for number, weight in enumerate(weights)}

    served = _serve(Turns(), waiting, count)

    shares = [served[tenant] / weight for tenant, weight in waiting.items()]
    assert max(shares) - min(shares) <= 1 + 1e-6


@given(st.integers(1, 100))
def test_who_comes_late_has_no_claim_on_the_past_and_owes_nothing(before: int) -> None:
    early, late = UUID(int=1), UUID(int=2)
    turns = Turns()
    _serve(turns, {early: 1.0}, before)

    served = _serve(turns, {early: 1.0, late: 1.0}, 20)

    assert abs(served[early] - served[late]) <= 2


def test_turn_out_of_order_moves_no_clock_and_counts() -> None:
    heavy, light = UUID(int=1), UUID(int=2)
    turns = Turns()
    _serve(turns, {heavy: 1.0}, 5)
    clock = turns.clock

    turns.note(light, 1.0, moves_clock=False)

    assert turns.clock == clock
    assert turns.ahead[light] == clock + 1


def test_tenants_that_are_gone_are_forgotten() -> None:
    turns = Turns()

    for number in range(20 * MOST_PAST):
        turns.note(UUID(int=number), 1.0, moves_clock=False)
        turns.note(UUID(int=-1 % 2**128), 1.0)

    assert len(turns._next) <= MOST_PAST + 1
