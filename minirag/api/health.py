"""Health for load balancers, per service, driven by pings of what each service needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from grpc_health.v1 import health, health_pb2

from minirag.api.method_table import PACKAGE

log = structlog.get_logger()

Ping = Callable[[], Awaitable[None]]

INTERVAL = 2.0
PING_TIMEOUT = 2.0

# Redis isn't here: a job is a row in Postgres before its upload is acknowledged, Redis only carries
# hints to the workers. While it is away documents are taken in and wait, and everything else goes on;
# a server that left the load balancer for that would make a delay into an outage.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "": ("postgres", "vectors"),
    f"{PACKAGE}.TenantService": ("postgres",),
    f"{PACKAGE}.UserService": ("postgres",),
    f"{PACKAGE}.UsageService": ("postgres",),
    f"{PACKAGE}.OperationService": ("postgres",),
    f"{PACKAGE}.WebhookService": ("postgres",),
    f"{PACKAGE}.SourceService": ("postgres",),
    f"{PACKAGE}.DocumentService": ("postgres", "vectors", "blobs"),
    f"{PACKAGE}.ChatService": ("postgres", "vectors"),
}
"""What must answer for a service to be SERVING; the empty name is the server as a whole."""


class HealthMonitor:
    """Pings the dependencies and keeps `servicer` up to date."""

    def __init__(
        self,
        pings: Mapping[str, Ping],
        *,
        interval: float = INTERVAL,
        timeout: float = PING_TIMEOUT,
    ) -> None:
        self.servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]  # not in the stub
        wanted = {name for names in NEEDS.values() for name in names}
        self._pings = {name: pings[name] for name in sorted(wanted)}
        self._interval = interval
        self._timeout = timeout
        self._away: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out how things are, then keep looking in the background."""
        await self.check()
        self._task = asyncio.create_task(self._keep_checking())

    async def drain(self) -> None:
        """Answer NOT_SERVING for good, and stop looking."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.servicer.enter_graceful_shutdown()

    async def check(self) -> None:
        """Ping everything once, at the same time, and set each service's state."""
        answers = await asyncio.gather(*(self._is_there(name) for name in self._pings))
        away = {name for name, there in zip(self._pings, answers, strict=True) if not there}
        for name in sorted(self._away - away):
            log.info("dependency_is_back", dependency=name)
        self._away = away
        for service, needs in NEEDS.items():
            state = (
                health_pb2.HealthCheckResponse.NOT_SERVING
                if away.intersection(needs)
                else health_pb2.HealthCheckResponse.SERVING
            )
            await self.servicer.set(service, state)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.check()

    async def _is_there(self, name: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._pings[name]()
        except Exception as error:  # however a ping fails, the dependency is away
            if name not in self._away:
                log.warning("dependency_is_away", dependency=name, error=str(error))
            return False
        return True
