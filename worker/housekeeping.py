"""What a worker does beside its jobs, at start and then regularly; each may run on many workers at once."""

from __future__ import annotations

from collections.abc import Sequence

from minirag.bootstrap import Container
from worker.relay import Chore

ORPHANS_PERIOD = 5.0
REQUESTS_PERIOD = 3600.0
DELIVERIES_PERIOD = 3600.0
SIGN_INS_PERIOD = 3600.0
RECONCILE_PERIOD = 2.0
UPLOADS_PERIOD = 300.0
CHANGES_PERIOD = 3600.0


def list_chores(container: Container) -> Sequence[Chore]:
    """Answers whose server was killed are ended; old outcomes, sessions and failed sign-ins are forgotten."""
    return (
        Chore("orphaned answers", ORPHANS_PERIOD, container.ledger.interrupt_orphans),
        Chore("old requests", REQUESTS_PERIOD, lambda: forget_old_requests(container)),
        Chore(
            "old webhook deliveries", DELIVERIES_PERIOD, lambda: forget_old_deliveries(container)
        ),
        Chore("expired uploads", UPLOADS_PERIOD, container.uploads.forget_expired),
        Chore("reconciliations", RECONCILE_PERIOD, container.reconciler.run_due),
        Chore("old sign-ins", SIGN_INS_PERIOD, lambda: forget_old_sign_ins(container)),
        Chore("old deletions", CHANGES_PERIOD, lambda: forget_old_changes(container)),
    )


async def forget_old_requests(container: Container) -> None:
    async with container.uow_factory.platform() as uow:
        await uow.forget_old_requests()


async def forget_old_deliveries(container: Container) -> None:
    """A part at a time, each in a transaction of its own."""
    forgotten = 1
    while forgotten:
        async with container.uow_factory.platform() as uow:
            forgotten = await uow.forget_old_deliveries()


async def forget_old_sign_ins(container: Container) -> None:
    async with container.uow_factory.platform() as uow:
        await uow.forget_old_sign_ins()


async def forget_old_changes(container: Container) -> None:
    async with container.uow_factory.platform() as uow:
        await uow.forget_old_changes()
