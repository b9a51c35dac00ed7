"""The job queue that carries hints from the relay to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class JobQueue(Protocol):
    """Raises `Unavailable` when Redis is away. Losing its whole content loses no work."""

    async def enqueue(self, jobs: Sequence[tuple[UUID, UUID]]) -> None:
        """Hand (tenant_id, job_id) pairs to the workers; one that is queued already is left alone."""

    async def depth(self) -> int:
        """Jobs handed on and not yet taken by a worker."""

    async def ping(self) -> None: ...
