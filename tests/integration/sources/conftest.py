"""Sources on a real Postgres and real blobs, read by real HTTP from a website on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from minirag.adapters.addresses import parse_networks
from minirag.adapters.blobs import ObstoreBlobStore
from minirag.adapters.outbound import GuardedClient, Resolver, look_up
from minirag.adapters.web.reader import HttpWebReader
from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, Document, DocumentFilter
from minirag.domain.jobs import Job, JobKind
from minirag.domain.sources import PageState, Source, SourceKind, SourcePage, SourceSettings
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.accepting import DocumentIntake
from minirag.services.background import BackgroundTasks
from minirag.services.jobs import JobRunner
from minirag.services.source_refresh import SourceRefresher
from minirag.services.source_storing import PageStore
from minirag.services.sources import SourceService
from tests.integration.postgres.records import add_collection, add_tenant
from tests.support.database import Database
from tests.support.website import Website, open_website

LOOPBACK = "127.0.0.1/32"
MOST_PAGES = 50


def make_reader(
    *,
    allowed: str = LOOPBACK,
    resolve: Resolver = look_up,
    seconds: float = 20.0,
    most_bytes: int = 100_000,
    **options: Any,
) -> HttpWebReader:
    client = GuardedClient(
        allowed_networks=parse_networks(allowed), allow_http=True, resolve=resolve
    )
    return HttpWebReader(
        client, user_agent="MiniRAG test", seconds=seconds, most_bytes=most_bytes, **options
    )


class SourceDesk:
    """One tenant with a collection, the services of sources, and the website that they lead to."""

    def __init__(
        self,
        uow: PostgresUnitOfWorkFactory,
        owner: asyncpg.Connection,
        directory: Path,
        collection: Collection,
        site: Website,
    ) -> None:
        self.uow: Any = uow
        self.owner = owner
        self.collection = collection
        self.tenant_id = collection.tenant_id
        self.context = TenantContext(self.tenant_id)
        self.site = site
        self.background = BackgroundTasks()
        self.wakes = 0
        self.web = make_reader()
        self.intake = DocumentIntake(
            uow,
            ObstoreBlobStore.in_directory(directory),
            self._wake,
            self.background,
            max_document_bytes=1_000_000,
        )
        self.service = SourceService(uow, self.web, self._wake, most_pages=MOST_PAGES)
        self.use_runs_of(20)

    def _wake(self, _tenant_id: UUID | None = None) -> None:
        self.wakes += 1

    def use_runs_of(self, pages: int) -> None:
        """Have a run of the job look at so many pages."""
        self.refresher = SourceRefresher(
            self.uow, self.web, PageStore(self.uow, self.intake), pages_per_run=pages
        )
        self.runner = JobRunner(
            self.uow,
            {
                JobKind.REFRESH_SOURCE: self.refresher.refresh,
                JobKind.ERASE_SOURCE: self.refresher.erase,
            },
            {JobKind.REFRESH_SOURCE: self.refresher.give_up},
            lease_seconds=30,
            max_attempts=2,
        )

    async def create(
        self,
        path: str,
        kind: SourceKind = SourceKind.PAGE,
        *,
        collection: Collection | None = None,
        **settings: Any,
    ) -> Source:
        return await self.service.create(
            self.context,
            collection_id=(collection or self.collection).id,
            kind=kind,
            settings=SourceSettings(f"{self.site.url}{path}", **settings),
            request=None,
        )

    async def create_sitemap(self, *urls: str, **settings: Any) -> Source:
        self.site.put_sitemap("/sitemap.xml", *urls)
        return await self.create("/sitemap.xml", SourceKind.SITEMAP, **settings)

    async def run_once(self) -> int:
        """Do the due jobs of sources, each once; return how many."""
        rows = await self.fetch(
            "SELECT id FROM jobs WHERE tenant_id = $1 AND state = 'PENDING'"
            " AND kind IN ('REFRESH_SOURCE', 'ERASE_SOURCE')"
            " AND run_after <= clock_timestamp() ORDER BY id"
        )
        for row in rows:
            await self.runner.run(self.tenant_id, row["id"])
        return len(rows)

    async def work(self) -> int:
        """Do the due jobs of sources until none is left; return how many runs it took."""
        runs = 0
        while done := await self.run_once():
            runs += done
        return runs

    async def refresh(self, source: Source) -> Source:
        """Refresh it now, to the end."""
        await self.service.refresh(self.context, source.id, request=None)
        await self.work()
        return await self.get(source)

    async def get(self, source: Source) -> Source:
        return await self.service.get(self.context, source.id)

    async def pages(self, source: Source, *states: PageState) -> list[SourcePage]:
        page = await self.service.list_pages(
            self.context, source.id, states=frozenset(states), after=None, limit=100
        )
        return list(page.items)

    async def states(self, source: Source) -> dict[str, PageState]:
        """By path."""
        return {
            page.url.removeprefix(self.site.url): page.state for page in await self.pages(source)
        }

    async def page(self, source: Source) -> SourcePage:
        """The source's only one."""
        (found,) = await self.pages(source)
        return found

    async def documents(self) -> list[Document]:
        async with self.uow.tenant(self.tenant_id) as unit:
            wanted = DocumentFilter(collection_id=self.collection.id)
            found: list[Document] = await unit.documents.list_page(wanted, after=None, limit=100)
        return found

    async def paths(self) -> list[str]:
        """The paths of the pages that are kept as documents."""
        return sorted(
            document.external_id.removeprefix(self.site.url) for document in await self.documents()
        )

    async def versions(self) -> dict[str, int]:
        """How many versions were made of each document, by its path."""
        return {
            document.external_id.removeprefix(self.site.url): document.version.number
            for document in await self.documents()
        }

    async def jobs(self, kind: str = "REFRESH_SOURCE") -> list[asyncpg.Record]:
        return await self.fetch(
            "SELECT *, extract(epoch FROM run_after - clock_timestamp())::float8 AS wait"
            " FROM jobs WHERE tenant_id = $1 AND kind = $2 ORDER BY id",
            kind,
        )

    async def job(self) -> Job:
        """The one job that refreshes, as a handler gets it."""
        (row,) = await self.jobs()
        async with self.uow.tenant(self.tenant_id) as unit:
            job = await unit.jobs.claim(row["id"], owner="test", lease_seconds=30)
        assert job is not None
        return job

    async def fetch(self, statement: str, *others: Any) -> list[asyncpg.Record]:
        """Rows of a raw statement whose $1 is the tenant."""
        async with self.owner.transaction():
            await self.owner.execute(f"SET LOCAL app.tenant_id = '{self.tenant_id.hex}'")
            return list(await self.owner.fetch(statement, self.tenant_id, *others))


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    async with open_website() as opened:
        yield opened


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def desk(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, site: Website, tmp_path: Path
) -> AsyncIterator[SourceDesk]:
    tenant_id: UUID = await add_tenant(uow)
    collection = await add_collection(uow, tenant_id)
    desk = SourceDesk(uow, owner, tmp_path / "blobs", collection, site)
    yield desk
    await desk.background.close()
