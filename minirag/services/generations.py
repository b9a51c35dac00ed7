"""The life of an answer in Postgres: started, kept alive, ended exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog

from minirag.domain.chats import Generation, GenerationState, Message
from minirag.domain.usage import Usage, UsageKind, UsageRecord
from minirag.errors import MiniRagError, Unavailable
from minirag.services.background import BackgroundTasks, try_later
from minirag.services.clock import utc_now
from minirag.services.metering import estimate_tokens
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.pricing import Pricing
from minirag.services.webhook_events import announce, answer_completed

log = structlog.get_logger()

LEASE = timedelta(seconds=20)
HEARTBEAT_SECONDS = 4.0
FIRST_HEARTBEAT_SECONDS = 1.0
"""The first one comes early: until then nobody but the server knows what the prompt cost."""
LONGEST_LATENCY_MS = 2**31 - 1
"""What its column holds, 24 days: no server may have looked for orphans for longer."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the model took; milliseconds."""

    latency_ms: int
    first_token_ms: int | None


class GenerationLedger:
    """Writes down how answers end, through short outages of Postgres too."""

    def __init__(
        self, uow: UnitOfWorkFactory, background: BackgroundTasks, pricing: Pricing
    ) -> None:
        self._uow = uow
        self._background = background
        self._pricing = pricing

    async def keep_alive(self, generation: Generation, message: Callable[[], Message]) -> None:
        """Renew the lease and save what was said so far, until cancelled.

        `message` returns the answer as it stands, with the prompt's tokens. A server that is killed stops
        renewing, and `interrupt_orphans` on any server ends the generation.
        """
        delay = min(FIRST_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
        while True:
            await asyncio.sleep(delay)
            delay = HEARTBEAT_SECONDS
            try:
                async with self._uow.tenant(generation.tenant_id) as uow:
                    alive = await uow.generations.extend_lease(generation.id, LEASE)
                    if alive:
                        await uow.messages.update(message())
            except MiniRagError as error:
                log.warning("generation_heartbeat_failed", error=error.message)
            except Exception:  # without heartbeats an answer in the best of health counts as dead
                log.exception("generation_heartbeat_crashed")

    async def finish(self, generation: Generation, message: Message, timing: Timing | None) -> None:
        """Move the generation to the message's state and keep its content and usage, all at once.

        `timing` None: the model wasn't called, or refused, and there is no usage to record. If Postgres
        is away it is tried again in the background for about half a minute. Cancelling this call, once
        or twice, doesn't cost the tenant its record.
        """
        await asyncio.shield(self._background.start(self._finish(generation, message, timing)))

    async def _finish(
        self, generation: Generation, message: Message, timing: Timing | None
    ) -> None:
        try:
            await self._write(generation, message, timing)
        except Unavailable:
            self._background.start(self._write_later(generation, message, timing))

    async def _write_later(
        self, generation: Generation, message: Message, timing: Timing | None
    ) -> None:
        if not await try_later(lambda: self._write(generation, message, timing)):
            log.error("generation_not_recorded", generation_id=str(generation.id))

    async def _write(self, generation: Generation, message: Message, timing: Timing | None) -> None:
        async with self._uow.tenant(generation.tenant_id) as uow:
            if await uow.generations.finish(generation.id, message.state):
                await uow.messages.update(message)
                await announce(uow, answer_completed(generation, message.state))
            elif await uow.generations.get(generation.id) is not None:
                return
            # Also for a conversation that was deleted meanwhile: what the model consumed is owed.
            if timing is not None:
                await uow.usage.add(_usage_record(generation, message.usage, timing))
            if generation.is_reserved:
                await uow.limits.settle(generation.id)

    async def interrupt_orphans(self) -> int:
        """End generations whose server is gone as INTERRUPTED; return how many were found.

        Their usage is estimated from what was saved of the answer and its prompt. One that ended before
        its first heartbeat left neither: whatever the provider had done by then is not known.
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
        await self._pricing.prepare(generation.model)
        async with self._uow.tenant(tenant_id) as uow:
            if not await uow.generations.finish(generation_id, GenerationState.INTERRUPTED):
                return
            await announce(uow, answer_completed(generation, GenerationState.INTERRUPTED))
            message = await uow.messages.get(generation.answer_message_id)
            if message is None:
                await uow.limits.settle(generation_id)
                return
            read, written = message.usage.input_tokens, estimate_tokens(message.content)
            prices = await self._pricing.read(uow, tenant_id)
            usage = prices.charge(generation.model, Usage(read, written, is_estimated=True))
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
            await uow.usage.add(_usage_record(generation, usage, timing))
            await uow.limits.settle(generation_id)


def _usage_record(generation: Generation, usage: Usage, timing: Timing) -> UsageRecord:
    return UsageRecord(
        # The same in each attempt to write it: a commit whose outcome nobody knows may have succeeded.
        id=generation.id,
        tenant_id=generation.tenant_id,
        kind=UsageKind.CHAT,
        model=generation.model,
        usage=usage,
        create_time=utc_now(),
        latency_ms=timing.latency_ms,
        first_token_ms=timing.first_token_ms,
        generation_id=generation.id,
        key_id=generation.key_id,
        user_id=generation.user_id,
        assistant_id=generation.assistant_id,
        collection_id=generation.collection_id,
    )
