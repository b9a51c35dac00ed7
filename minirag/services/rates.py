"""How many calls a tenant and its keys may make: refused before the request is read."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.limits import Measure
from minirag.errors import LimitExceeded
from minirag.services.ports.limits import Rate, RateLimiter, RateRefusal, StreamLease

TENANT_SUBJECT = "tenant"
KEY_SUBJECT = "api_key"

OnRefusal = Callable[[UUID, UUID | None, Measure], None]


class CallRates:
    """Costs nothing for callers without such a limit."""

    def __init__(self, limiter: RateLimiter, on_refusal: OnRefusal | None = None) -> None:
        self._limiter = limiter
        self._on_refusal = on_refusal

    async def take_call(self, context: TenantContext) -> None:
        """Count a call. Raises `LimitExceeded` when the tenant or its key has made too many."""
        most, key_most = context.limits.requests_per_minute, context.key_limits.requests_per_minute
        if most is None and key_most is None:
            return
        refusal = await self._limiter.take_call(context.tenant_id, _rates(context, most, key_most))
        if refusal is not None:
            raise self._refuse(context, Measure.REQUESTS_PER_MINUTE, refusal)

    async def open_stream(self, context: TenantContext) -> StreamLease | None:
        """Take a place for a stream, to be released at its end; None when nothing limits streams.

        Raises `LimitExceeded` when the tenant or its key has as many open as it may.
        """
        most, key_most = context.limits.concurrent_streams, context.key_limits.concurrent_streams
        if most is None and key_most is None:
            return None
        lease = await self._limiter.open_stream(context.tenant_id, _rates(context, most, key_most))
        if isinstance(lease, RateRefusal):
            raise self._refuse(context, Measure.CONCURRENT_STREAMS, lease)
        return lease

    def _refuse(
        self, context: TenantContext, measure: Measure, refusal: RateRefusal
    ) -> LimitExceeded:
        if self._on_refusal is not None:
            self._on_refusal(context.tenant_id, refusal.rate.key_id, measure)
        limit = refusal.rate.limit
        if measure is Measure.CONCURRENT_STREAMS:
            wording = f"may have {limit} streams open at once: end one, or retry later"
        else:
            wording = f"may make {limit} calls a minute: retry later, and more slowly"
        return limit_exceeded(
            refusal.rate.key_id,
            measure,
            wording,
            reason="RATE_LIMITED",
            # Where nothing is allowed at all, no wait helps.
            retry_after=refusal.retry_after if limit else None,
        )


def limit_exceeded(
    key_id: UUID | None,
    measure: Measure,
    wording: str,
    *,
    reason: str = "QUOTA_EXCEEDED",
    retry_after: float | None = None,
) -> LimitExceeded:
    """The error for a limit of the tenant, or of the key; `wording` goes on from its name."""
    whose = "tenant" if key_id is None else "key"
    subject = TENANT_SUBJECT if key_id is None else KEY_SUBJECT
    return LimitExceeded(
        f"the {whose} {wording}",
        subject=f"{subject}.{measure}",
        reason=reason,
        retry_after=retry_after,
    )


def _rates(context: TenantContext, most: int | None, key_most: int | None) -> list[Rate]:
    rates = [] if most is None else [Rate(None, most)]
    if key_most is not None and context.key_id is not None:
        rates.append(Rate(context.key_id, key_most))
    return rates
