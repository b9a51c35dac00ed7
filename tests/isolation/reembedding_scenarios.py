"""How the repository methods of re-embedding are called."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from minirag.domain.ids import new_id
from minirag.domain.reembedding import EmbeddingComparison
from minirag.repositories.postgres.unit_of_work import PostgresTenantUnitOfWork
from tests.isolation.stage import Scenario, Stage

THEIR_OPERATION = new_id()


async def _compare(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    comparison = EmbeddingComparison("", "another", 10, ())
    assert await unit.operations.compare(stage.their("operations"), comparison)


async def _begin(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    assert await unit.reembedding.begin(stage.their("collections"), THEIR_OPERATION, "another")


async def _complete(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await _begin(unit, stage)
    assert await unit.reembedding.complete(stage.their("collections"), THEIR_OPERATION)


async def _publish(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await stage.transaction.execute(text("UPDATE document_versions SET chunk_count = 1"))
    await unit.documents.publish_version(stage.their("document_versions"))


REEMBEDDING_SCENARIOS: Mapping[str, Scenario] = {
    "PostgresOperationRepository.compare": Scenario(
        lambda r, s: r.compare(s.their("operations"), EmbeddingComparison("", "another", 10, ())),
    ),
    "PostgresOperationRepository.forget_comparisons": Scenario(
        lambda r, s: r.forget_comparisons(None), _compare
    ),
    "PostgresReembeddingRepository.begin": Scenario(
        lambda r, s: r.begin(s.their("collections"), s.ours, "another"),
    ),
    "PostgresReembeddingRepository.complete": Scenario(
        lambda r, s: r.complete(s.their("collections"), THEIR_OPERATION), _begin
    ),
    "PostgresReembeddingRepository.switch": Scenario(
        lambda r, s: r.switch(s.their("collections")), _complete
    ),
    "PostgresReembeddingRepository.end": Scenario(
        lambda r, s: r.end(s.their("collections"), THEIR_OPERATION), _begin
    ),
    "PostgresReembeddingRepository.count_published": Scenario(
        lambda r, s: r.count_published(s.their("collections")), _publish
    ),
    "PostgresReembeddingRepository.list_published": Scenario(
        lambda r, s: r.list_published(s.their("collections"), after=None, limit=100), _publish
    ),
    "PostgresReembeddingRepository.sample_texts": Scenario(
        lambda r, s: r.sample_texts(s.their("collections"), limit=100), _publish
    ),
}
