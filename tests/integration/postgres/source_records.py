"""Makes sources and their pages for repository tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from minirag.domain.ids import new_id
from minirag.domain.sources import (
    PageState,
    RefreshProgress,
    Source,
    SourceKind,
    SourceSettings,
    SourceState,
)
from minirag.services.ports.storage import TenantUnitOfWork

URL = "https://example.org/sitemap.xml"
PAGE_URL = "https://example.org/page"


def make_source(tenant_id: UUID, collection_id: UUID, **changes: Any) -> Source:
    time = datetime.now(UTC)
    source = Source(
        id=new_id(),
        tenant_id=tenant_id,
        collection_id=collection_id,
        kind=SourceKind.SITEMAP,
        settings=SourceSettings(URL, "A source", {"language": "en"}, ("docs.example.org",), 60, 10),
        progress=RefreshProgress(SourceState.REFRESHING, 3, pending_lists=(URL,), start_time=time),
        create_time=time,
        update_time=time,
        revision=1,
        job_id=new_id(),
        key_id=new_id(),
    )
    return replace(source, **changes)


async def fill_sources(unit: TenantUnitOfWork, tenant_id: UUID, collection_id: UUID) -> None:
    """A source of the tenant with a page that has a document, and is gone."""
    source = make_source(tenant_id, collection_id)
    await unit.sources.add(source)
    await unit.source_pages.put_listed(source.id, [(PAGE_URL, "A page")], number=2)
    (page,) = await unit.source_pages.list_unfetched(source.id, number=2, limit=1)
    gone = replace(page, state=PageState.MISSING, document_id=new_id(), misses=2, missed_in=2)
    await unit.source_pages.save(gone)
