"""Vector queries without their tenant, and a store that keeps both engines filled."""

from __future__ import annotations

import ast
import inspect
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.retrieval import VectorFilter, VectorHit, VectorPoint
from minirag.repositories.vectors import edge_shard, qdrant
from minirag.repositories.vectors import points as stored

ENGINES = {"edge": edge_shard, "qdrant": qdrant}


class TwinStore:
    """A `VectorStore` that writes to both engines, searches in the active one, and notes what it hit."""

    def __init__(self, edge: Any, qdrant: Any) -> None:
        self.edge = edge
        self._both = {"edge": edge, "qdrant": qdrant}
        self.active = "edge"
        self.hits: list[VectorHit] = []

    def __getattr__(self, name: str) -> Any:
        reading = getattr(self._both[self.active], name)
        if name in ("count", "list_points", "scan", "ping"):
            return reading

        async def call(*arguments: Any, **named: Any) -> Any:
            if name.startswith("search_"):
                found: list[VectorHit] = await reading(*arguments, **named)
                self.hits += found
                return found
            for engine in self._both.values():
                await getattr(engine, name)(*arguments, **named)
            return None

        return call


@dataclass(frozen=True)
class VectorMutant:
    """One function whose filter has lost the tenant; without a function, every filter has."""

    engine: str
    function: str = ""

    @property
    def name(self) -> str:
        return f"{self.engine}.{self.function or 'conditions'}"

    @contextmanager
    def active(self, patch: pytest.MonkeyPatch, *, drop_all: bool = False) -> Iterator[None]:
        """With `drop_all` its other conditions are gone too: those on collections would hide the loss."""
        module: ModuleType = ENGINES[self.engine]
        plain_conditions, plain_filter = stored.conditions, module._filter
        this_call = threading.local()

        def conditions(tenant_id: UUID, where: VectorFilter) -> list[stored.FieldMatch]:
            kept = plain_conditions(tenant_id, where)
            if self.function and not getattr(this_call, "is_mutated", False):
                return kept
            return [] if drop_all else [each for each in kept if each.field != stored.TENANT]

        def build_filter(tenant_id: UUID, where: VectorFilter) -> object:
            this_call.is_mutated = sys._getframe(1).f_code.co_qualname == self.function
            try:
                return plain_filter(tenant_id, where)
            finally:
                this_call.is_mutated = False

        with patch.context() as here:
            here.setattr(stored, "conditions", conditions)
            here.setattr(module, "_filter", build_filter)
            yield


def list_mutants(engine: str) -> list[VectorMutant]:
    """One for every function that builds a filter, found in the source; and one for all at once."""
    tree = ast.parse(inspect.getsource(ENGINES[engine]))
    found = []
    for holder in tree.body:
        if not isinstance(holder, ast.ClassDef):
            continue
        for function in holder.body:
            calls = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "_filter"
            ]
            if calls and isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(VectorMutant(engine, f"{holder.name}.{function.name}"))
    return [*found, VectorMutant(engine)]


@contextmanager
def given_away(patch: pytest.MonkeyPatch, tenant_id: UUID) -> Iterator[None]:
    """Points are stored as this tenant's, whosever they are."""
    plain = stored.payload

    def payload(_: UUID, point: VectorPoint) -> dict[str, str | list[str]]:
        return plain(tenant_id, point)

    with patch.context() as here:
        here.setattr(stored, "payload", payload)
        yield


def show_foreign(hits: Sequence[VectorHit], foreign_ids: set[str]) -> bool:
    return any(hit.chunk_id.hex in foreign_ids for hit in hits)
