"""The life of an answer in Postgres: started, kept alive, ended exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog

from minirag.domain.chats import Generation, GenerationState, Message
from minirag.domain.ids import new_id
from minirag.domain.usage import Usage, UsageKind, UsageRecord
from minirag.errors import MiniRagError, Unavailable
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

LEASE = timedelta(seconds=20)
HEARTBEAT_SECONDS = 4.0
CHARACTERS_PER_TOKEN = 4
LONGEST_LATENCY_MS = 2**31 - 1
"""What its column holds, 24 days: no server may have looked for orphans for longer."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the model took; milliseconds."""

    latency_ms: int
    first_token_ms: int | None


class GenerationLedger:
    """Writes down how answers end, through short outages of Postgres too."""

    def __init__(self, uow: UnitOfWorkFactory, background: BackgroundTasks) -> None:
        self._uow = uow
        self._background = background

    async def keep_alive(self, generation: Generation, message: Callable[[], Message]) -> None:
        """Renew the lease and save what was said so far, until cancelled.

        `message` returns the answer as it stands. A server that is killed stops renewing, and
        `interrupt_orphans` on any server ends the generation.
        """
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                async with self._uow.tenant(generation.tenant_id) as uow:
                    alive = await uow.generations.extend_lease(generation.id, LEASE)
                    if alive:
                        await uow.messages.update(message())
            except MiniRagError as error:
                log.warning("generation_heartbeat_failed", error=error.message)
            except Exception:  # without heartbeats an answer in the best of health counts as dead
                log.exception("generation_heartbeat_crashed")

    async def finish(
        self, generation: Generation, message: Message, timing: Timing, key_id: UUID | None
    ) -> None:
        """Move the generation to the message's state and keep its content and usage, all at once.

        If Postgres is away it is tried again in the background for about half a minute. Cancelling this
        call, once or twice, doesn't cost the tenant its record.
        """
        await asyncio.shield(
            self._background.start(self._finish(generation, message, timing, key_id))
        )

    async def _finish(
        self, generation: Generation, message: Message, timing: Timing, key_id: UUID | None
    ) -> None:
        try:
            await self._write(generation, message, timing, key_id)
        except Unavailable:
            self._background.start(self._write_later(generation, message, timing, key_id))

    async def _write_later(
        self, generation: Generation, message: Message, timing: Timing, key_id: UUID | None
    ) -> None:
        for delay in RETRY_SECONDS:
            await asyncio.sleep(delay)
            try:
                await self._write(generation, message, timing, key_id)
            except MiniRagError:
                continue
            return
        log.error("generation_not_recorded", generation_id=str(generation.id))

    async def _write(
        self, generation: Generation, message: Message, timing: Timing, key_id: UUID | None
    ) -> None:
        async with self._uow.tenant(generation.tenant_id) as uow:
            if await uow.generations.finish(generation.id, message.state):
                await uow.messages.update(message)
            elif await uow.generations.get(generation.id) is not None:
                return
            # Also for a conversation that was deleted meanwhile: what the model consumed is owed.
            await uow.usage.add(_usage_record(generation, message.usage, timing, key_id))

    async def interrupt_orphans(self) -> int:
        """End generations whose server is gone as INTERRUPTED; return how many were found.

        Their usage is estimated from what was saved of the answer; the prompt went with the server.
        """
        async with self._uow.platform() as platform:
            orphans = await platform.list_orphaned_generations(limit=100)
        for tenant_id, generation_id in orphans:
            try:
                await self._interrupt(tenant_id, generation_id)
            except Unavailable:
                raise
            except Exception:  # one that can't be ended mustn't hold up the others
                log.exception("orphan_not_interrupted", generation_id=str(generation_id))
        return len(orphans)

    async def _interrupt(self, tenant_id: UUID, generation_id: UUID) -> None:
        async with self._uow.tenant(tenant_id) as uow:
            generation = await uow.generations.get(generation_id)
            if generation is None:
                return
            if not await uow.generations.finish(generation_id, GenerationState.INTERRUPTED):
                return
            message = await uow.messages.get(generation.answer_message_id)
            if message is None:
                return
            tokens = -(-len(message.content) // CHARACTERS_PER_TOKEN)
            usage = Usage(output_tokens=tokens, is_estimated=True)
            await uow.messages.update(
                replace(
                    message,
                    state=GenerationState.INTERRUPTED,
                    usage=usage,
                    error="the server was ended in mid-answer: ask again",
                )
            )
            lasted = round((utc_now() - generation.create_time).total_seconds() * 1000)
            timing = Timing(min(max(lasted, 0), LONGEST_LATENCY_MS), None)
            await uow.usage.add(_usage_record(generation, usage, timing, None))


def _usage_record(
    generation: Generation, usage: Usage, timing: Timing, key_id: UUID | None
) -> UsageRecord:
    return UsageRecord(
        id=new_id(),
        tenant_id=generation.tenant_id,
        kind=UsageKind.CHAT,
        model=generation.model,
        usage=usage,
        create_time=utc_now(),
        latency_ms=timing.latency_ms,
        first_token_ms=timing.first_token_ms,
        generation_id=generation.id,
        key_id=key_id,
    )
