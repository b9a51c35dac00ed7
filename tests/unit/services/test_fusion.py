"""Fusion of the lexical and the dense leg."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from minirag.domain.retrieval import LegScore, VectorHit
from minirag.services.fusion import FusedHit, fuse

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def _hits(*scored: tuple[UUID, float]) -> list[VectorHit]:
    return [VectorHit(chunk_id, UUID(int=0), score) for chunk_id, score in scored]


def _legs(low: float, high: float) -> st.SearchStrategy[list[VectorHit]]:
    """What a store returns: distinct chunks, best first."""
    scores = st.floats(low, high, allow_nan=False, width=32)
    found = st.dictionaries(st.integers(1, 30).map(lambda n: UUID(int=n)), scores, max_size=20)
    return found.map(lambda by_id: _hits(*sorted(by_id.items(), key=lambda item: -item[1])))


lexical_legs = _legs(0, 60)
dense_legs = _legs(-1, 1)


def _order(hits: Sequence[FusedHit]) -> list[UUID]:
    return [hit.chunk_id for hit in hits]


def test_no_leg_and_empty_legs_give_nothing() -> None:
    assert fuse(None, None) == []
    assert fuse([], []) == []
    assert fuse([], None) == []
    assert fuse(None, []) == []


@given(lexical_legs, dense_legs)
def test_scores_lie_between_zero_and_one_and_every_chunk_comes_once(
    lexical: list[VectorHit], dense: list[VectorHit]
) -> None:
    fused = fuse(lexical, dense)

    assert all(0.0 <= hit.score <= 1.0 for hit in fused)
    assert sorted(_order(fused)) == sorted({hit.chunk_id for hit in lexical + dense})
    assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)


@given(lexical_legs)
def test_lexical_leg_alone_keeps_its_order_and_its_best_is_one(leg: list[VectorHit]) -> None:
    fused = fuse(leg, None)

    by_score = sorted(leg, key=lambda hit: (-hit.score, hit.chunk_id))
    if any(hit.score > 0 for hit in leg):
        assert fused[0].score == 1.0
        ordered = {hit.chunk_id: hit.score for hit in leg}
        scores = [ordered[chunk_id] for chunk_id in _order(fused)]
        assert scores == [hit.score for hit in by_score]


@given(dense_legs)
def test_dense_leg_alone_spans_one_down_to_zero(leg: list[VectorHit]) -> None:
    fused = fuse(None, leg)

    scores = [hit.score for hit in leg]
    if leg and max(scores) - min(scores) > 1e-6:
        assert fused[0].score == 1.0
        assert fused[-1].score == 0.0
    else:
        assert all(0.0 <= hit.score <= 1.0 for hit in fused)


@given(lexical_legs, dense_legs)
def test_chunk_that_both_legs_prefer_is_never_placed_behind(
    lexical: list[VectorHit], dense: list[VectorHit]
) -> None:
    fused = {hit.chunk_id: hit for hit in fuse(lexical, dense)}

    for first in fused.values():
        for second in fused.values():
            in_both = first.lexical.rank and first.dense.rank
            if not in_both or not second.lexical.rank or not second.dense.rank:
                continue
            if (
                first.lexical.score >= second.lexical.score
                and first.dense.score >= second.dense.score
            ):
                assert first.score >= second.score


def test_a_better_score_in_one_leg_never_lowers_a_chunk() -> None:
    dense = _hits((A, 0.9), (B, 0.5), (C, 0.1))
    before = fuse(_hits((A, 10.0), (B, 4.0), (C, 1.0)), dense)
    after = fuse(_hits((A, 10.0), (B, 8.0), (C, 1.0)), dense)

    score_before = next(hit.score for hit in before if hit.chunk_id == B)
    score_after = next(hit.score for hit in after if hit.chunk_id == B)

    assert score_after > score_before


def test_ties_are_ordered_by_chunk_id_whatever_order_the_legs_came_in() -> None:
    forwards = fuse(_hits((A, 2.0), (B, 2.0), (C, 2.0)), None)
    backwards = fuse(_hits((C, 2.0), (B, 2.0), (A, 2.0)), None)

    assert _order(forwards) == _order(backwards) == [A, B, C]
    assert {hit.score for hit in forwards} == {1.0}


def test_legs_keep_their_own_ranks_and_scores() -> None:
    fused = fuse(_hits((A, 8.0), (B, 4.0)), _hits((B, 0.7), (C, 0.2)))

    by_id = {hit.chunk_id: hit for hit in fused}
    assert by_id[A].lexical == LegScore(1, 8.0)
    assert by_id[A].dense == LegScore()
    assert by_id[B].lexical == LegScore(2, 4.0)
    assert by_id[B].dense == LegScore(1, 0.7)
    assert by_id[C].dense == LegScore(2, 0.2)


def test_lexical_hits_without_a_common_word_count_nothing() -> None:
    fused = fuse(_hits((A, 0.0), (B, 0.0)), None)

    assert {hit.score for hit in fused} == {0.0}
