"""Which models the operator lets tenants use on the operator's own credentials."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from minirag.domain.chats import EXTRACTIVE_MODEL


@dataclass(frozen=True, slots=True)
class AllowedModels:
    """The server's default models, and the patterns of MINIRAG_ALLOWED_MODELS."""

    defaults: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    """With `*`, `?` and `[…]`, as in `openai/gpt-4o*`; none means that any well-known provider's model
    may be named."""

    @property
    def is_restricted(self) -> bool:
        return bool(self.patterns)

    def names(self, model: str) -> bool:
        """True for a model that the operator has named: it is trusted wherever it leads."""
        if model in self.defaults or model == EXTRACTIVE_MODEL:
            return True
        return any(fnmatchcase(model, pattern) for pattern in self.patterns)
