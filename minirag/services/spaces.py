"""Embedding spaces: which vector collection a model's vectors live in."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.retrieval import EmbeddingSpace
from minirag.services.metering import UsageMeter
from minirag.services.ports.models import EmbeddingModels
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore

LEXICAL_SPACE = EmbeddingSpace(name="lexical", model="", dimensions=0)


class EmbeddingSpaces:
    """Finds the space of a model, and makes it the first time: its dimensions are asked of the model."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        embeddings: EmbeddingModels,
        meter: UsageMeter,
        *,
        timeout: float,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._embeddings = embeddings
        self._meter = meter
        self._timeout = timeout
        self._known: dict[str, EmbeddingSpace] = {}

    async def find(self, tenant_id: UUID, model: str) -> EmbeddingSpace | None:
        """Return the model's space, or None when nothing was ever indexed in it."""
        if model in self._known:
            return self._known[model]
        async with self._uow.tenant(tenant_id) as uow:
            space = await uow.spaces.get(model)
        if space is not None:
            self._known[model] = space
        return space

    async def open(self, context: TenantContext, model: str) -> EmbeddingSpace:
        """Return the model's space, ready for points. Raises the provider's errors."""
        space = await self.find(context.tenant_id, model)
        if space is None:
            wanted = LEXICAL_SPACE
            if model:
                probe, record = await self._meter.embed(
                    context,
                    self._embeddings,
                    model,
                    ["dimensions"],
                    self._timeout,
                    purpose="document",
                )
                self._meter.keep(record)
                wanted = EmbeddingSpace(_space_name(model), model, len(probe.vectors[0]))
            async with self._uow.tenant(context) as uow:
                space = await uow.spaces.add(wanted)
            self._known[model] = space
        await self._vectors.ensure_space(space)
        return space

    async def list_all(self, tenant_id: UUID) -> list[EmbeddingSpace]:
        async with self._uow.tenant(tenant_id) as uow:
            return await uow.spaces.list_all()


def _space_name(model: str) -> str:
    """A name that any store accepts: readable start, and a hash that keeps models apart."""
    readable = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:40]
    return f"{readable}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
