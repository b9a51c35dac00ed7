"""Whether there is room for what a tenant wants to store."""

from __future__ import annotations

from minirag.domain.documents import FailureCode
from minirag.domain.limits import Limits, Measure, Stock
from minirag.errors import LimitExceeded, ParseFailure
from minirag.services.ports.storage import TenantUnitOfWork
from minirag.services.rates import limit_exceeded


def limits_uploads(limits: Limits) -> bool:
    """True when an upload must be counted against a limit."""
    return limits.documents is not None or limits.stored_bytes is not None


async def require_room(
    uow: TenantUnitOfWork, limits: Limits, more: Stock, *, lock: bool = False
) -> Stock:
    """Return what is stored so far. Raises `LimitExceeded` when `more` would be too much.

    With `lock`, until the transaction ends nobody else who locks adds anything.
    """
    stored = await uow.limits.read_stock(lock=lock)
    for measure, limit, wanted in (
        (Measure.DOCUMENTS, limits.documents, stored.documents + more.documents),
        (Measure.STORED_BYTES, limits.stored_bytes, stored.stored_bytes + more.stored_bytes),
        (Measure.CHUNKS, limits.chunks, stored.chunks + more.chunks),
    ):
        # What adds nothing of a kind is no worse than what is there, even under a limit that was lowered.
        if limit is not None and wanted > limit and getattr(more, measure) > 0:
            raise stock_exceeded(measure, limit)
    return stored


async def require_chunk_room(
    uow: TenantUnitOfWork, limits: Limits, more: Stock, *, lock: bool = False
) -> None:
    """As `require_room`, for a document: it ends FAILED, hence a `ParseFailure`."""
    try:
        await require_room(uow, limits, more, lock=lock)
    except LimitExceeded as error:
        reason = f"{error.message}; this document has {more.chunks}"
        raise ParseFailure(FailureCode.QUOTA_EXCEEDED, reason) from None


def stock_exceeded(measure: Measure, limit: int) -> LimitExceeded:
    """For more documents, bytes or chunks than the tenant may have; there is no time to wait for."""
    what = {
        Measure.DOCUMENTS: "documents",
        Measure.STORED_BYTES: "bytes of documents",
        Measure.CHUNKS: "chunks",
    }[measure]
    return limit_exceeded(
        None,
        measure,
        f"may store {limit} {what}: delete some, or ask the platform's operator for more",
    )
