"""Sealing stored secrets anew by the ring's newest key, while servers go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from minirag.errors import MiniRagError
from minirag.services.ports.secrets import Keyring, Sealed, SealedRecord, bind
from minirag.services.ports.storage import UnitOfWorkFactory

PAGE = 100


@dataclass(slots=True)
class ResealCount:
    """What became of the secrets that another key than the newest had sealed."""

    resealed: int = 0
    overtaken: int = 0
    """Changed, deleted or resealed by somebody else meanwhile."""
    failed: dict[str, int] = field(default_factory=dict)
    """How many stay as they are, by the reason why."""


class Resealing:
    """Goes through the tenants one by one. May be interrupted, repeated, and run twice at once."""

    def __init__(self, uow: UnitOfWorkFactory, keyring: Keyring, *, page: int = PAGE) -> None:
        self._uow = uow
        self._keyring = keyring
        self._page = page

    async def count(self) -> int:
        """How many secrets another key than the newest has sealed."""
        counted = 0
        async for _, _, page in self._pages():
            counted += len(page)
        return counted

    async def run(self) -> ResealCount:
        """Seal them anew; what can't be opened is counted and left alone.

        Raises `Unavailable`, and `FailedPrecondition` when the ring is empty.
        """
        count = ResealCount()
        async for tenant_id, record, page in self._pages():
            await self._reseal(tenant_id, record, page, count)
        return count

    async def _reseal(
        self,
        tenant_id: UUID,
        record: SealedRecord,
        page: list[tuple[UUID, Sealed]],
        count: ResealCount,
    ) -> None:
        # A few milliseconds for a page: nobody who changes one of its records waits for long.
        async with self._uow.tenant(tenant_id) as uow:
            for record_id, old in page:
                place = bind(tenant_id.bytes, record, record_id.bytes)
                try:
                    secret = self._keyring.open(old, bound_to=place)
                except MiniRagError as error:
                    count.failed[error.message] = count.failed.get(error.message, 0) + 1
                    continue
                new = self._keyring.seal(secret, bound_to=place)
                if await uow.sealed_records.replace(record, record_id, old=old, new=new):
                    count.resealed += 1
                else:
                    count.overtaken += 1

    async def _pages(self) -> AsyncIterator[tuple[UUID, SealedRecord, list[tuple[UUID, Sealed]]]]:
        newest = self._keyring.newest
        async for tenant_id in self._tenant_ids():
            for record in SealedRecord:
                after: UUID | None = None
                while page := await self._list(tenant_id, record, newest, after):
                    yield tenant_id, record, page
                    after = page[-1][0]

    async def _list(
        self, tenant_id: UUID, record: SealedRecord, newest: str, after: UUID | None
    ) -> list[tuple[UUID, Sealed]]:
        async with self._uow.tenant(tenant_id) as uow:
            return await uow.sealed_records.list_older(
                record, newest, after=after, limit=self._page
            )

    async def _tenant_ids(self) -> AsyncIterator[UUID]:
        after: UUID | None = None
        while True:
            async with self._uow.platform() as platform:
                tenants = await platform.tenants.list_page(after=after, limit=self._page)
            for tenant in tenants:
                yield tenant.id
            if len(tenants) < self._page:
                return
            after = tenants[-1].id
