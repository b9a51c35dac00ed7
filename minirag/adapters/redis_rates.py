"""Rates that all servers share, counted in Redis by scripts, each a single step.

Redis' own clock counts, so that servers' may differ. All keys of a tenant carry the same hash tag: they live
on one node of a cluster. Losing them allows one more burst, no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from minirag.adapters.local_rates import MINUTE, STREAM_RETRY_SECONDS, LocalLease, LocalRates
from minirag.adapters.redis_batches import RedisBatches
from minirag.services.ports.limits import Rate, RateRefusal, StreamLease

LEASE_SECONDS = 9.0
"""How long the streams of a server that died still count."""
REMEMBERED = 1000
PREFIX = "minirag:limits"

# KEYS: buckets. ARGV: microseconds between calls of each, the same order. Returns {0, 0}, or the number of
# the bucket to wait for longest and the microseconds.
TAKE_CALL = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- A tenth of a millisecond is how roundings differ, not a call too many.
local worst, longest = 0, 100
local full_at = {}
for i, key in ipairs(KEYS) do
    full_at[i] = math.max(tonumber(redis.call('GET', key) or now), now) + tonumber(ARGV[i])
    local wait = full_at[i] - now - 60000000
    if wait > longest then worst, longest = i, wait end
end
if worst > 0 then return {worst, math.ceil(longest)} end
for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.0f', full_at[i]),
        'PX', math.ceil((full_at[i] - now) / 1000))
end
return {0, 0}
"""

# KEYS: sets of leases by the millisecond they end. ARGV: lease, milliseconds it lasts, limit of each set.
# Returns 0, or the number of the set that is full.
OPEN_STREAM = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[i + 2]) then return i end
end
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2] * 2)
end
return 0
"""

# KEYS: sets. ARGV: lease, milliseconds it lasts. Puts back what Redis has lost.
RENEW_STREAM = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2] * 2)
end
"""


# KEYS: sets. ARGV: lease.
END_STREAM = "for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end"


class RedisRates:
    """`RateLimiter` shared by all servers on one Redis; while it is away each server counts by itself.

    What Redis lets through is counted here as well, so that its loss in mid-minute allows no new burst of
    what this server has seen. A refusal is remembered for as long as it holds: a caller who doesn't
    listen costs Redis nothing.
    """

    def __init__(self, redis_url: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._redis = RedisBatches(redis_url)
        self._lease_seconds = lease_seconds
        self._local = LocalRates()
        self._refused: dict[tuple[UUID, Rate], float] = {}
        self._leases: dict[str, list[str]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def take_call(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        if refusal := self._remembered(tenant_id, rates):
            return refusal
        keys = [self._key("calls", tenant_id, rate) for rate in rates]
        gaps = [60_000_000 / rate.limit for rate in rates]
        found = await self._redis.ask(TAKE_CALL, keys, gaps)
        if found is None:
            return await self._local.take_call(tenant_id, rates)
        number, microseconds = found
        if not number:
            self._local.note_call(tenant_id, rates)
            return None
        refusal = RateRefusal(rates[number - 1], microseconds / 1e6)
        self._remember(tenant_id, refusal)
        return refusal

    async def open_stream(
        self, tenant_id: UUID, rates: Sequence[Rate]
    ) -> StreamLease | RateRefusal:
        if refusal := self._local.find_full_house(tenant_id, rates):
            return refusal
        # Taken here before Redis is asked, so that without it no more than the limit are let through.
        place = self._local.note_stream(tenant_id, rates)
        name = uuid4().hex
        keys = [self._key("streams", tenant_id, rate) for rate in rates]
        limits = [rate.limit for rate in rates]
        try:
            full = await self._redis.ask(
                OPEN_STREAM, keys, [name, self._lease_milliseconds, *limits]
            )
        except BaseException:  # the client left: if Redis has made a lease, it runs out
            place.give_back()
            raise
        if full:
            place.give_back()
            return RateRefusal(rates[full - 1], STREAM_RETRY_SECONDS)
        # Without Redis as well: when it is back, it is told.
        self._leases[name] = keys
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_leases())
        return _SharedLease(self, name, place)

    async def forget_stream(self, name: str) -> None:
        """Take a lease out of Redis; while that is away it runs out there by itself."""
        if keys := self._leases.pop(name, None):
            await self._redis.ask(END_STREAM, keys, [name])

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._redis.close()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            for name, keys in list(self._leases.items()):
                await self._keep_lease(name, keys)

    async def _keep_lease(self, name: str, keys: list[str]) -> None:
        if name not in self._leases:
            return
        await self._redis.ask(RENEW_STREAM, keys, [name, self._lease_milliseconds])
        if name not in self._leases:  # it ended meanwhile, and may have been put back
            await self._redis.ask(END_STREAM, keys, [name])

    def _remembered(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        now = time.monotonic()
        for rate in rates:
            if rate.limit <= 0:
                return RateRefusal(rate, MINUTE)
            until = self._refused.get((tenant_id, rate), 0.0)
            if until > now:
                return RateRefusal(rate, until - now)
        return None

    def _remember(self, tenant_id: UUID, refusal: RateRefusal) -> None:
        now = time.monotonic()
        if len(self._refused) >= REMEMBERED:
            self._refused = {key: until for key, until in self._refused.items() if until > now}
        self._refused[tenant_id, refusal.rate] = now + refusal.retry_after

    @property
    def _lease_milliseconds(self) -> int:
        return round(self._lease_seconds * 1000)

    @staticmethod
    def _key(kind: str, tenant_id: UUID, rate: Rate) -> str:
        subject = "tenant" if rate.key_id is None else rate.key_id.hex
        return f"{PREFIX}:{kind}:{{{tenant_id.hex}}}:{subject}"


class _SharedLease:
    def __init__(self, rates: RedisRates, name: str, place: LocalLease) -> None:
        self._name = name
        self._rates = rates
        self._place = place

    async def release(self) -> None:
        self._place.give_back()
        # Whoever is told of the stream's end may open the next at once: Redis knows before.
        await asyncio.shield(asyncio.ensure_future(self._rates.forget_stream(self._name)))
