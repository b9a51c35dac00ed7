"""How the repository methods of sources are called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from minirag.domain.ids import new_id
from minirag.domain.sources import PageState, RefreshProgress, SourcePage, SourceSettings
from minirag.repositories.postgres.unit_of_work import PostgresTenantUnitOfWork
from tests.integration.postgres.source_records import PAGE_URL, make_source
from tests.isolation.stage import Scenario, Stage

FORGED = SourceSettings("https://forged.example/")


async def _remove_document(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    page = _their_page(stage, state=PageState.REMOVED, missed_in=1)
    await unit.source_pages.save(page)


def _their_page(stage: Stage, **changes: Any) -> SourcePage:
    named = stage.their("source_pages")
    return SourcePage(named, stage.their("sources"), PAGE_URL, **changes)


SOURCE_SCENARIOS: Mapping[str, Scenario] = {
    "PostgresSourceRepository.add": Scenario(
        lambda r, s: r.add(make_source(s.ours, s.their("collections"))),
    ),
    "PostgresSourceRepository.list_page": Scenario(
        lambda r, s: r.list_page(collection_id=None, after=None, limit=100),
    ),
    "PostgresSourceRepository.update": Scenario(
        lambda r, s: r.update(s.their("sources"), FORGED),
    ),
    "PostgresSourceRepository.schedule": Scenario(
        lambda r, s: r.schedule(
            s.their("sources"), new_id(), is_pending=True, next_time=datetime.now(UTC)
        ),
    ),
    "PostgresSourceRepository.advance": Scenario(
        lambda r, s: r.advance(
            s.their("sources"), s.their("sources", "job_id"), RefreshProgress(number=9)
        ),
    ),
    "PostgresSourcePageRepository.put_listed": Scenario(
        lambda r, s: r.put_listed(
            s.their("sources"), [("https://forged.example/", "forged")], number=9
        ),
    ),
    "PostgresSourcePageRepository.count_listed": Scenario(
        lambda r, s: r.count_listed(s.their("sources"), number=2),
    ),
    "PostgresSourcePageRepository.list_unfetched": Scenario(
        lambda r, s: r.list_unfetched(s.their("sources"), number=2, limit=10),
    ),
    "PostgresSourcePageRepository.save": Scenario(
        lambda r, s: r.save(_their_page(s, reason="forged")),
    ),
    "PostgresSourcePageRepository.miss_unlisted": Scenario(
        lambda r, s: r.miss_unlisted(s.their("sources"), number=9),
    ),
    "PostgresSourcePageRepository.list_removable": Scenario(
        lambda r, s: r.list_removable(s.their("sources"), number=2, misses=2, limit=10),
    ),
    "PostgresSourcePageRepository.forget_removed": Scenario(
        lambda r, s: r.forget_removed(s.their("sources"), number=9), _remove_document
    ),
    "PostgresSourcePageRepository.list_page": Scenario(
        lambda r, s: r.list_page(s.their("sources"), states=frozenset(), after=None, limit=10),
    ),
}
