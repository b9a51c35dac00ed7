"""Rates: shared by servers through Redis, and held by each server alone while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import redis

from minirag.adapters import redis_batches
from minirag.adapters.local_rates import LocalRates
from minirag.adapters.redis_rates import RedisRates
from minirag.domain.ids import new_id
from minirag.embedded.redis import RedisServer
from minirag.services.ports.limits import Rate, RateLimiter, RateRefusal, StreamLease
from tests.support.servers import open_directory

LEASE = 0.6
MANY = 100


@pytest.fixture
def tenant_id() -> UUID:
    return new_id()


@pytest.fixture
async def servers(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RedisRates, RedisRates]]:
    """Two servers' limiters on one Redis, which is never called slow: the machine may be busy."""
    monkeypatch.setattr(redis_batches, "PATIENCE", 20)
    pair = (RedisRates(redis_url, lease_seconds=LEASE), RedisRates(redis_url, lease_seconds=LEASE))
    yield pair
    for each in pair:
        await each.close()


async def count_taken(
    limiters: Sequence[RateLimiter], tenant_id: UUID, rates: Sequence[Rate], calls: int = MANY
) -> int:
    """How many of so many calls at the same time are taken, spread over the servers."""
    outcomes = await asyncio.gather(
        *(limiters[n % len(limiters)].take_call(tenant_id, rates) for n in range(calls))
    )
    return outcomes.count(None)


# -- one process


async def test_bucket_holds_a_minute_of_calls_and_is_refilled_evenly(tenant_id: UUID) -> None:
    now = 1000.0
    rates = LocalRates(lambda: now)
    ten = [Rate(None, 10)]

    at_once = await count_taken([rates], tenant_id, ten)
    refusal = await rates.take_call(tenant_id, ten)
    now += 6.1
    after_a_tenth = await count_taken([rates], tenant_id, ten)
    now += 600
    after_ten_minutes = await count_taken([rates], tenant_id, ten)

    assert refusal is not None
    assert refusal.retry_after == pytest.approx(6)
    assert (at_once, after_a_tenth, after_ten_minutes) == (10, 1, 10)


async def test_call_refused_for_one_limit_uses_up_none_of_the_other(tenant_id: UUID) -> None:
    rates = LocalRates()
    key = Rate(new_id(), 2)

    taken = await count_taken([rates], tenant_id, [Rate(None, 5), key])
    others = await count_taken([rates], tenant_id, [Rate(None, 5)])

    assert (taken, others) == (2, 3)


async def test_limit_of_nothing_refuses_every_call(tenant_id: UUID) -> None:
    refusal = await LocalRates().take_call(tenant_id, [Rate(None, 0)])

    assert refusal is not None


# -- shared


async def test_servers_share_one_bucket(
    servers: tuple[RedisRates, RedisRates], tenant_id: UUID
) -> None:
    key = Rate(new_id(), 7)

    of_the_key = await count_taken(servers, tenant_id, [Rate(None, 30), key])
    of_the_tenant = await count_taken(servers, tenant_id, [Rate(None, 30)])
    of_another = await count_taken(servers, new_id(), [Rate(None, 30)])

    assert (of_the_key, of_the_tenant, of_another) == (7, 23, 30)


async def test_refusal_tells_when_and_is_remembered(
    servers: tuple[RedisRates, RedisRates], tenant_id: UUID, redis_url: str
) -> None:
    rates = [Rate(None, 10)]
    await count_taken(servers, tenant_id, rates)
    refusal = await servers[0].take_call(tenant_id, rates)
    asked = commands(redis_url)

    again = await count_taken(servers[:1], tenant_id, rates)

    assert refusal is not None
    assert 0 < refusal.retry_after <= 6
    assert again == 0
    assert commands(redis_url) == asked


async def test_call_taken_at_the_same_time_as_others_shares_their_round_trip(
    servers: tuple[RedisRates, RedisRates], tenant_id: UUID, redis_url: str
) -> None:
    await servers[0].take_call(tenant_id, [Rate(None, 1000)])
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("stats")["total_reads_processed"]

        await count_taken(servers[:1], tenant_id, [Rate(None, 1000)])

        assert client.info("stats")["total_reads_processed"] - before < MANY / 4


def commands(redis_url: str) -> int:
    """How many scripts Redis has run."""
    with redis.Redis.from_url(redis_url) as client:
        return int(client.info("commandstats").get("cmdstat_eval", {}).get("calls", 0))


async def test_streams_are_counted_over_all_servers_and_released(
    servers: tuple[RedisRates, RedisRates], tenant_id: UUID
) -> None:
    first, second = servers
    rates = [Rate(None, 2), Rate(new_id(), 2)]
    leases = [await open_stream(each, tenant_id, rates) for each in servers]

    refused = [await each.open_stream(tenant_id, rates) for each in servers]
    await leases[0].release()
    await leases[0].release()
    await open_stream(second, tenant_id, rates)
    full_again = await first.open_stream(tenant_id, rates)

    assert all(isinstance(each, RateRefusal) for each in (*refused, full_again))


async def test_open_stream_is_held_longer_than_a_lease_and_a_dead_servers_no_longer(
    servers: tuple[RedisRates, RedisRates], tenant_id: UUID
) -> None:
    living, dying = servers
    rates = [Rate(None, 2)]
    await open_stream(living, tenant_id, rates)
    await open_stream(dying, tenant_id, rates)
    assert dying._keeper is not None
    dying._keeper.cancel()  # as a kill -9 ends it

    waited = await until_open(living, tenant_id, rates)
    third = RedisRates(f"{living_url(living)}", lease_seconds=LEASE)
    full = await third.open_stream(tenant_id, rates)
    await third.close()

    assert waited < LEASE + 5
    assert isinstance(full, RateRefusal)


def living_url(limiter: RedisRates) -> str:
    arguments = limiter._redis._redis.connection_pool.connection_kwargs
    return f"unix://{arguments['path']}?db={arguments['db']}"


async def until_open(limiter: RateLimiter, tenant_id: UUID, rates: Sequence[Rate]) -> float:
    began = time.monotonic()
    async with asyncio.timeout(20):
        while True:
            lease = await limiter.open_stream(tenant_id, rates)
            if not isinstance(lease, RateRefusal):
                return time.monotonic() - began
            await asyncio.sleep(0.02)


async def open_stream(limiter: RateLimiter, tenant_id: UUID, rates: Sequence[Rate]) -> StreamLease:
    lease = await limiter.open_stream(tenant_id, rates)
    assert not isinstance(lease, RateRefusal)
    return lease


# -- Redis away


@asynccontextmanager
async def own_redis() -> AsyncIterator[RedisServer]:
    with open_directory() as directory:
        server = RedisServer(directory / "redis", directory / "run" / "redis.sock")
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


async def test_each_server_holds_the_limit_alone_while_redis_is_away_and_shares_it_again_after(
    tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_batches, "LOOK_AGAIN", 0.1)
    rates = [Rate(None, 10)]
    async with own_redis() as server:
        first, second = RedisRates(server.url), RedisRates(server.url)
        before = await count_taken([first], tenant_id, rates, calls=4)
        lease = await open_stream(first, tenant_id, rates)
        await asyncio.to_thread(server.stop)

        alone = [await count_taken([each], tenant_id, rates) for each in (first, second)]
        began = time.monotonic()
        await count_taken([first], tenant_id, rates, calls=20)
        lasted = time.monotonic() - began
        streams = [await first.open_stream(tenant_id, rates) for _ in range(12)]
        await lease.release()

        await asyncio.to_thread(server.start)
        other_id = new_id()
        monkeypatch.setattr(redis_batches, "PATIENCE", 20)
        await until_shared(first, second, new_id)
        shared = await count_taken([first, second], other_id, rates)
        await first.close()
        await second.close()

    # What the first has seen before counts on; the second has seen nothing.
    assert (before, alone) == (4, [6, 10])
    assert lasted < 5
    assert sum(isinstance(each, RateRefusal) for each in streams) == 3
    assert shared == 10


async def until_shared(first: RedisRates, second: RedisRates, make_id: Callable[[], UUID]) -> None:
    """Wait until what one server takes is counted for the other."""
    async with asyncio.timeout(20):
        while True:
            tenant_id = make_id()
            await first.take_call(tenant_id, [Rate(None, 1)])
            if await second.take_call(tenant_id, [Rate(None, 1)]) is not None:
                return
            await asyncio.sleep(0.02)


async def test_slow_redis_holds_no_call_up(tenant_id: UUID) -> None:
    """It takes connections and never answers."""
    silent: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    rates = RedisRates(f"redis://127.0.0.1:{port}/0")
    began = time.monotonic()

    taken = await count_taken([rates], tenant_id, [Rate(None, 10)])

    lasted = time.monotonic() - began
    assert taken == 10
    assert lasted < 0.9  # a socket's own time-out is 1 s
    await rates.close()
    for writer in silent:
        writer.close()
    listener.close()
    await listener.wait_closed()
