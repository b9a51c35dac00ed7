"""Reconciliations: asking for one, and carrying out those that were asked for, one at a time.

They are the platform's, so that no tenant's job stands for them: a worker takes one by a lease, keeps the
tenant that it has come to, and another goes on from there when it dies.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.operations import (
    PLATFORM_ID,
    DriftCount,
    Operation,
    OperationKind,
    OperationState,
    add_drift,
)
from minirag.domain.tenants import TenantState
from minirag.errors import MiniRagError
from minirag.services.auditing import record_change, record_deed_of_platform
from minirag.services.clock import utc_now
from minirag.services.drift import DriftSweep
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import PlatformUnitOfWork, UnitOfWorkFactory

log = structlog.get_logger()

LEASE_SECONDS = 60.0
TENANTS_PER_PAGE = 100
RETRY_SECONDS = 30.0


class ReconcileRequests:
    """The platform asks for a reconciliation."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def begin(
        self, tenant_id: UUID | None, *, dry_run: bool, request: RequestKey | None
    ) -> Operation:
        """Have all tenants looked at, or one, which may have been erased. Workers take them in turn."""
        async with self._uow.platform() as uow:
            if outcome := await recall(uow.requests, request):
                operation_id = UUID(outcome["operation_id"])
                first = await uow.operations.get(operation_id)
                if first is None:
                    raise not_found(IdKind.OPERATION, operation_id)
                return first
            if tenant_id is not None and not await uow.reconciliations.knows_tenant(tenant_id):
                raise not_found(IdKind.TENANT, tenant_id)
            now = utc_now()
            operation = Operation(
                id=new_id(),
                tenant_id=PLATFORM_ID,
                kind=OperationKind.RECONCILE,
                state=OperationState.PENDING,
                subject_id=tenant_id or PLATFORM_ID,
                create_time=now,
                start_time=now,
                dry_run=dry_run,
            )
            await uow.operations.add(operation)
            await remember(uow.requests, request, operation_id=operation.id)
            await self._record(uow, tenant_id, operation)
        return operation

    @staticmethod
    async def _record(
        uow: PlatformUnitOfWork, tenant_id: UUID | None, operation: Operation
    ) -> None:
        named = encode_id(IdKind.OPERATION, operation.id)
        details = {"kind": operation.kind.value, "dry_run": str(operation.dry_run).lower()}
        if tenant_id is None or await uow.tenants.get(tenant_id) is None:
            await record_change(uow.audit, None, "operation", named, **details)
            return
        inner = await uow.enter_tenant(tenant_id)
        await record_deed_of_platform(uow.audit, inner.audit, "operation", named, **details)


class _Lost(Exception):
    """The operation was cancelled, or another worker has it."""


class Reconciler:
    """Housekeeping of workers; any number of them may run it at once."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        sweep: DriftSweep,
        *,
        period: timedelta | None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`period` is how often all tenants are looked at unasked; None is never."""
        self._uow = uow
        self._sweep = sweep
        self._period = period
        self._lease_seconds = lease_seconds

    async def run_due(self) -> int:
        """Carry out what is due, one after the other; return how many were brought to their end."""
        if self._period is not None:
            async with self._uow.platform() as uow:
                await uow.reconciliations.schedule(self._period)
        ended = 0
        while True:
            owner = new_id().hex
            async with self._uow.platform() as uow:
                operation = await uow.reconciliations.claim(
                    owner=owner, lease_seconds=self._lease_seconds
                )
            if operation is None:
                return ended
            run = _Run(self._uow, self._sweep, operation, owner, self._lease_seconds)
            try:
                await run.carry_on()
            except _Lost:
                continue
            except MiniRagError as error:
                # A store is away: whoever looks after a while goes on where this one stopped.
                log.warning("reconciliation_held_up", error=error.message)
                async with self._uow.platform() as uow:
                    await uow.reconciliations.release(
                        operation.id, owner=owner, error=error.message, delay=RETRY_SECONDS
                    )
                return ended
            ended += 1


class _Run:
    """One worker's part of a reconciliation."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        sweep: DriftSweep,
        operation: Operation,
        owner: str,
        lease_seconds: float,
    ) -> None:
        self._uow = uow
        self._sweep = sweep
        self._operation = operation
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._done = operation.done
        self._total = operation.total
        # What a dry run found of a tenant that it wasn't done with would be found, and counted, again.
        kept = operation.position.get("drift") if operation.dry_run else None
        self._drift = operation.drift
        if kept is not None:
            self._drift = tuple(DriftCount(**one) for one in kept)
        self._drift_before = self._drift
        after = operation.position.get("after")
        self._after = None if after is None else UUID(after)

    async def carry_on(self) -> None:
        """Look at the tenants that are left. Raises `_Lost`, and `Unavailable` when a store is away."""
        if self._operation.subject_id != PLATFORM_ID:
            self._total = 1
            await self._look_at(self._operation.subject_id)
        else:
            async with self._uow.platform() as uow:
                self._total = await uow.reconciliations.count_tenants()
            while tenant_ids := await self._next_tenants():
                for tenant_id in tenant_ids:
                    await self._look_at(tenant_id)
        async with self._uow.platform() as uow:
            if not await uow.reconciliations.finish(self._operation.id, owner=self._owner):
                raise _Lost
        found = {f"{one.store} {one.kind}": one.found for one in self._drift}
        log.info("reconciled", tenants=self._done, dry_run=self._operation.dry_run, **found)

    async def _next_tenants(self) -> list[UUID]:
        async with self._uow.platform() as uow:
            return await uow.reconciliations.list_tenants(after=self._after, limit=TENANTS_PER_PAGE)

    async def _look_at(self, tenant_id: UUID) -> None:
        async with self._uow.platform() as uow:
            tenant = await uow.tenants.get(tenant_id)
        # What is being erased isn't looked at: its stores empty one after the other.
        if tenant is None or tenant.state is not TenantState.ERASING:
            steps = self._sweep.run(tenant_id, dry_run=self._operation.dry_run)
            async for found in steps:
                self._drift = add_drift(self._drift_before, found)
                await self._keep()
            self._drift_before = self._drift
        self._after = tenant_id
        self._done += 1
        self._total = max(self._total, self._done)
        await self._keep()

    async def _keep(self) -> None:
        position: dict[str, Any] = {"drift": [asdict(one) for one in self._drift_before]}
        if self._after is not None:
            position["after"] = self._after.hex
        async with self._uow.platform() as uow:
            is_ours = await uow.reconciliations.keep(
                self._operation.id,
                owner=self._owner,
                lease_seconds=self._lease_seconds,
                position=position,
                done=self._done,
                total=self._total,
                drift=self._drift,
            )
        if not is_ours:
            raise _Lost
