"""How long the jobs of a dead or stopped worker wait until somebody has them again."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from tests.chaos.hands import Hands

PERIOD = 0.25
CONNECT_SECONDS = 5.0
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_HELD = "SELECT id, lease_owner FROM jobs WHERE id = ANY($1) AND state = 'RUNNING'"


@dataclass
class Recovery:
    """Follows the jobs that were in a worker's hands when it was struck."""

    hands: Hands
    seconds: list[float] = field(default_factory=list)
    """From a worker's death to the moment at which another has its job, or it is done."""
    _owners: dict[UUID, tuple[str, float]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until cancelled. Postgres may be away."""
        while True:
            try:
                await self._follow()
            except AWAY:
                await asyncio.sleep(PERIOD)

    async def _follow(self) -> None:
        url = self.hands.deployment.postgres.app_url()
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS
        )
        try:
            await connection.execute("SELECT set_config('app.platform', 'on', false)")
            while True:
                await self._look(connection)
                await asyncio.sleep(PERIOD)
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> None:
        struck = list(self.hands.held)
        wanted = {*self._owners, *(job_id for job_id, _ in struck)}
        if not wanted:
            return
        rows = await connection.fetch(_HELD, list(wanted))
        now = time.monotonic()
        owners = {row["id"]: row["lease_owner"] for row in rows}
        for job_id, (owner, since) in list(self._owners.items()):
            if owners.get(job_id) != owner:
                self.seconds.append(now - since)
                del self._owners[job_id]
        for job_id, since in struck:
            # One that is no longer RUNNING had been done when its worker was struck.
            if job_id in owners and job_id not in self._owners:
                self._owners[job_id] = (owners[job_id], since)
        del self.hands.held[: len(struck)]

    @property
    def waiting(self) -> int:
        return len(self._owners)

    def percentile(self, share: float) -> float:
        """By nearest rank; 0 when no job was in a struck worker's hands."""
        ordered = sorted(self.seconds)
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
