"""An embedding model in memory: hashed bags of words, and failures on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from minirag.domain.usage import Usage
from minirag.services.ports.models import EmbeddingBatch
from tests.mock_provider import texts as mock_texts

DIMENSIONS = 64


class FakeEmbeddings:
    """`EmbeddingModels`. Texts that share words have similar vectors; one token per word."""

    def __init__(self) -> None:
        self.dimensions = DIMENSIONS
        self.embedded: list[str] = []
        """Every text of documents that was embedded, in order."""
        self.queries = 0
        self.failures: list[Exception | None] = []
        """Raised by the next calls, one each; None lets one pass."""

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        if purpose == "query":
            self.queries += 1
        else:
            self.embedded += texts
        vectors = [tuple(mock_texts.embed(text, self.dimensions)) for text in texts]
        return EmbeddingBatch(vectors, Usage(sum(len(text.split()) for text in texts)))
