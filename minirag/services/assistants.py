"""Assistants: saved ways of answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chats import Assistant
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.retrieval import RetrievalSettings
from minirag.services.auditing import list_fields, record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.model_policy import ModelPolicy
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class AssistantValues:
    """What a client may set; the fields mean the same as those of `domain.chats.Assistant`."""

    display_name: str
    instructions: str
    model: str
    temperature: float | None
    max_output_tokens: int
    collection_ids: tuple[UUID, ...]
    retrieval: RetrievalSettings


class AssistantService:
    def __init__(self, uow: UnitOfWorkFactory, policy: ModelPolicy | None = None) -> None:
        self._uow = uow
        self._policy = policy

    async def create(
        self, context: TenantContext, values: AssistantValues, *, request: RequestKey | None
    ) -> Assistant:
        """Raises `AlreadyExists` for a taken name, `NotFound` for a collection that isn't there, and
        `PermissionDenied` for a model that the operator doesn't allow."""
        await self._check_model(context, values.model)
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await get_assistant(uow, UUID(outcome["assistant_id"]))
            await check_collections(uow, values.collection_ids)
            now = utc_now()
            assistant = Assistant(
                id=new_id(),
                tenant_id=context.tenant_id,
                display_name=values.display_name,
                instructions=values.instructions,
                model=values.model,
                temperature=values.temperature,
                max_output_tokens=values.max_output_tokens,
                collection_ids=values.collection_ids,
                retrieval=values.retrieval,
                create_time=now,
                update_time=now,
                revision=1,
            )
            await uow.assistants.add(assistant)
            await remember(uow.requests, request, assistant_id=assistant.id)
            await _record(uow, context, assistant.id)
            return assistant

    async def get(self, context: TenantContext, assistant_id: UUID) -> Assistant:
        async with self._uow.tenant(context) as uow:
            return _as_seen(context, await get_assistant(uow, assistant_id))

    async def list_page(
        self, context: TenantContext, *, after: UUID | None, limit: int
    ) -> Page[Assistant, UUID]:
        async with self._uow.tenant(context) as uow:
            found = await uow.assistants.list_page(after=after, limit=limit + 1)
        seen = [_as_seen(context, assistant) for assistant in found]
        return Page.cut(seen, limit, lambda assistant: assistant.id)

    async def update(
        self,
        context: TenantContext,
        assistant_id: UUID,
        *,
        values: AssistantValues,
        fields: frozenset[str],
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Assistant:
        """Take the named fields from `values`, leave the others as they are.

        Raises like `create`, and `Conflict` when another edit came in between.
        """
        if "model" in fields:
            await self._check_model(context, values.model)
        async with self._uow.tenant(context) as uow:
            current = await get_assistant(uow, assistant_id)
            if await recall(uow.requests, request):
                return current
            if "collection_ids" in fields:
                await check_collections(uow, values.collection_ids)
            wanted = replace(current, **{name: getattr(values, name) for name in fields})
            changed = await uow.assistants.update(wanted, if_revision=if_revision)
            if changed is None:
                raise not_found(IdKind.ASSISTANT, assistant_id)
            await remember(uow.requests, request, assistant_id=assistant_id)
            await _record(uow, context, assistant_id, fields=list_fields(fields))
            return changed

    async def delete(
        self,
        context: TenantContext,
        assistant_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            if not await uow.assistants.remove(assistant_id, if_revision=if_revision):
                raise not_found(IdKind.ASSISTANT, assistant_id)
            await remember(uow.requests, request, assistant_id=assistant_id)
            await _record(uow, context, assistant_id)

    async def _check_model(self, context: TenantContext, model: str) -> None:
        """Before a transaction is open, as it may need one of its own."""
        if self._policy is not None:
            await self._policy.check(context.tenant_id, model)


async def _record(
    uow: TenantUnitOfWork, context: TenantContext, assistant_id: UUID, **details: str
) -> None:
    named = encode_id(IdKind.ASSISTANT, assistant_id)
    await record_change(uow.audit, context.tenant_id, "assistant", named, **details)


def _as_seen(context: TenantContext, assistant: Assistant) -> Assistant:
    """To a restricted key, other collections look as if they weren't there."""
    if context.collection_ids is None:
        return assistant
    seen = tuple(each for each in assistant.collection_ids if each in context.collection_ids)
    return replace(assistant, collection_ids=seen)


async def get_assistant(uow: TenantUnitOfWork, assistant_id: UUID) -> Assistant:
    """Return the assistant or raise `NotFound`."""
    assistant = await uow.assistants.get(assistant_id)
    if assistant is None:
        raise not_found(IdKind.ASSISTANT, assistant_id)
    return assistant


async def check_collections(uow: TenantUnitOfWork, collection_ids: Sequence[UUID]) -> None:
    """Raise `NotFound` for the first id that isn't a collection of the tenant."""
    if not collection_ids:
        return
    found = {collection.id for collection in await uow.collections.get_many(collection_ids)}
    for collection_id in collection_ids:
        if collection_id not in found:
            raise not_found(IdKind.COLLECTION, collection_id)
