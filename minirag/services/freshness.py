"""Reading one's own writes: waiting until searches show a change."""

from __future__ import annotations

import asyncio
import time

from minirag.domain.access import TenantContext
from minirag.domain.changes import RevisionMark, Searchability
from minirag.domain.ids import IdKind, encode_id
from minirag.errors import FailedPrecondition, Unavailable
from minirag.services.ports.storage import UnitOfWorkFactory

LONGEST_WAIT = 30.0
"""Seconds, however long the caller would wait."""
SHARE_FOR_WORK = 0.25
MOST_FOR_WORK = 2.0
"""What is kept of the caller's time for the search itself, as a share and in seconds."""
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25
RETRY_SECONDS = 1.0


class RevisionWaiter:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def wait(
        self, context: TenantContext, mark: RevisionMark, *, timeout: float | None
    ) -> None:
        """Return once searches show the document as the mark says, or newer, or that it is gone.

        `timeout` is what the caller has left, in seconds. Raises `FailedPrecondition` at once when its
        newest version has failed, `Unavailable` when it takes longer than the caller waits.
        """
        until = time.monotonic() + _longest(timeout)
        pause = FIRST_PAUSE
        while True:
            async with self._uow.tenant(context) as uow:
                found = await uow.documents.get_searchability(mark.document_id)
            if found is None or _is_shown(found, mark):
                return
            _require_possible(found, mark)
            left = until - time.monotonic()
            if left <= 0:
                raise Unavailable(
                    f"{_name(mark)} isn't searchable yet: repeat the call, or watch it with WatchDocuments",
                    reason="REVISION_PENDING",
                    retry_after=RETRY_SECONDS,
                )
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE)


def _longest(timeout: float | None) -> float:
    if timeout is None:
        return LONGEST_WAIT
    return min(timeout - min(timeout * SHARE_FOR_WORK, MOST_FOR_WORK), LONGEST_WAIT)


def _is_shown(found: Searchability, mark: RevisionMark) -> bool:
    return found.published_number >= max(mark.version, 1) and not found.is_metadata_due


def _require_possible(found: Searchability, mark: RevisionMark) -> None:
    """Raise when no version that is on its way could still bring it about."""
    newest = found.newest
    if found.published_number >= mark.version or not newest.state.is_final:
        return
    why = newest.failure.reason if newest.failure else f"it is {newest.state}"
    raise FailedPrecondition(
        f"{_name(mark)} will not become searchable: {why}", reason="REVISION_FAILED"
    )


def _name(mark: RevisionMark) -> str:
    return f"version {mark.version} of document {encode_id(IdKind.DOCUMENT, mark.document_id)}"
