"""How the results of two embeddings are compared, and what of a re-embedding is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.domain.ids import new_id
from minirag.domain.reembedding import EmbeddingComparison, QueryComparison, ReembedRequest
from tests.support.fake_services import make_collection


def compare(former: Sequence[int], new: Sequence[int], query: str = "q") -> QueryComparison:
    return QueryComparison(query, tuple(map(_chunk, former)), tuple(map(_chunk, new)))


def _chunk(number: int) -> UUID:
    return UUID(int=number)


def comparison_of(*queries: QueryComparison) -> EmbeddingComparison:
    return EmbeddingComparison("former/model", "new/model", 10, queries)


@pytest.mark.parametrize(
    ("former", "new", "overlap", "has_same_first"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0, True),
        ([1, 2, 3, 4], [4, 3, 2, 1], 1.0, False),
        ([1, 2, 3, 4], [1, 5, 6, 2], 0.5, True),
        ([1, 2], [3, 4], 0.0, False),
        ([1], [1, 2, 3, 4], 0.25, True),
        ([1, 2, 3, 4], [2], 0.25, False),
        ([], [1, 2], 0.0, False),
        ([1, 2], [], 0.0, False),
        ([], [], 1.0, True),
    ],
)
def test_overlap_is_the_share_of_the_longer_list_that_both_have(
    former: list[int], new: list[int], overlap: float, has_same_first: bool
) -> None:
    compared = compare(former, new)

    assert compared.overlap == overlap
    assert compared.has_same_first is has_same_first


def test_means_are_of_all_queries_alike() -> None:
    comparison = comparison_of(
        compare([1, 2], [1, 2]), compare([1, 2], [2, 3]), compare([1], [2]), compare([], [])
    )

    assert comparison.mean_overlap == (1.0 + 0.5 + 0.0 + 1.0) / 4
    assert comparison.same_first == 0.5


def test_without_a_query_nothing_differs() -> None:
    comparison = comparison_of()

    assert (comparison.mean_overlap, comparison.same_first) == (1.0, 1.0)


@pytest.mark.parametrize(
    "comparison",
    [
        comparison_of(),
        comparison_of(compare([1, 2], [2], "Wörter, \"quoted\"?"), compare([], [], "nothing")),
        replace(comparison_of(compare([1], [])), former_model=""),
    ],
    ids=["no query", "queries", "lexical"],
)  # fmt: skip
def test_comparison_survives_being_stored(comparison: EmbeddingComparison) -> None:
    stored = json.loads(json.dumps(comparison.to_json()))

    assert EmbeddingComparison.from_json(stored) == comparison


def test_nothing_stored_is_no_comparison() -> None:
    assert EmbeddingComparison.from_json({}) is None


@pytest.mark.parametrize("who", ["key", "user", "nobody"])
def test_request_survives_being_stored(who: str) -> None:
    request = ReembedRequest(
        model="",
        sample_queries=("Which wörd?", "And then?"),
        switch_when_built=True,
        key_id=new_id() if who == "key" else None,
        user_id=new_id() if who == "user" else None,
    )

    stored = json.loads(json.dumps(request.to_json()))

    assert ReembedRequest.from_json(stored) == request


@pytest.mark.parametrize(
    ("standby", "models"),
    [
        (None, {"former"}),
        (StandbyEmbeddings("new", False, UUID(int=1)), {"former", "new"}),
        (StandbyEmbeddings("", True, UUID(int=1)), {"former", ""}),
    ],
)
def test_new_versions_get_the_embeddings_of_all_of_a_collections_models(
    standby: StandbyEmbeddings | None, models: set[str]
) -> None:
    collection: Collection = make_collection(new_id(), "Papers", "")

    found = replace(collection, embedding_model="former", standby=standby).models

    assert found == models
