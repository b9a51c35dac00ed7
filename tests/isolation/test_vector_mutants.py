"""Each vector query without its tenant: the conformance suite must notice.

That no foreign text reaches an answer all the same is shown on a running server, in test_served.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from minirag.domain.ids import new_id
from minirag.repositories.vectors.edge import EdgeVectorStore
from minirag.repositories.vectors.qdrant import QdrantVectorStore
from tests.integration.vectors import test_conformance as guards
from tests.isolation.tally import TALLY
from tests.isolation.vector_mutants import ENGINES, VectorMutant, given_away, list_mutants

MUTANTS = [mutant for engine in ENGINES for mutant in list_mutants(engine)]
GUARDS = (
    guards.test_search_sees_the_own_tenant_only,
    guards.test_other_tenants_points_dont_change_scores,
    guards.test_stranger_finds_and_changes_nothing,
    guards.test_empty_filter_deletes_all_of_one_tenant_in_one_space,
)


async def notices(engine: str, directory: Path) -> bool:
    """True if one of the guards fails on a new store of the engine."""
    store: Any
    if engine == "edge":
        store = EdgeVectorStore(directory)
    else:
        store = QdrantVectorStore(client=AsyncQdrantClient(":memory:"))
    try:
        for guard in GUARDS:
            try:
                await guard(store)
            except AssertionError:
                return True
        return False
    finally:
        await store.close()


def test_every_function_that_builds_a_filter_is_found() -> None:
    assert {mutant.name for mutant in MUTANTS} >= {
        "edge.Shard._search",
        "edge.Shard.search_lexical",
        "edge.Shard.page",
        "edge.Shard.points",
        "edge.Shard.count",
        "qdrant.QdrantVectorStore._search",
        "qdrant.QdrantVectorStore.search_lexical",
        "qdrant.QdrantVectorStore.set_metadata",
        "qdrant.QdrantVectorStore.delete",
        "qdrant.QdrantVectorStore.count",
        "qdrant.QdrantVectorStore.list_points",
        "qdrant.QdrantVectorStore.scan",
    }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_conformance_notices_a_query_without_its_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: VectorMutant
) -> None:
    with mutant.active(monkeypatch):
        noticed = await notices(mutant.engine, tmp_path / "mutated")

    assert noticed  # unmutated they are silent, which the conformance suite itself shows
    TALLY.note_mutants("vector queries, by the conformance suite", 1, 1, 1)


@pytest.mark.parametrize("engine", ENGINES)
async def test_conformance_notices_points_stored_as_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    with given_away(monkeypatch, new_id()):
        noticed = await notices(engine, tmp_path / "mutated")

    assert noticed
    TALLY.note_mutants("vector queries, by the conformance suite", 1, 1, 1)
