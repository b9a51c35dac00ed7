"""Every repository of the package and its methods, found by importing it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from minirag.repositories import postgres


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(postgres.__path__):
        yield importlib.import_module(f"{postgres.__name__}.{found.name}")


def repositories() -> dict[str, type[Any]]:
    """Classes that run statements, by name; not those that are there to be inherited from."""
    found = {
        name: member
        for module in _modules()
        for name, member in vars(module).items()
        if inspect.isclass(member)
        and name.endswith("Repository")
        and member.__module__ == module.__name__
    }
    bases = {base for member in found.values() for base in member.__mro__[1:]}
    return {name: member for name, member in found.items() if member not in bases}


def methods() -> dict[str, Any]:
    """`Class.method` for every public coroutine, inherited ones with the class that is used."""
    found = {}
    for name, repository in repositories().items():
        for method, function in inspect.getmembers(repository, inspect.iscoroutinefunction):
            if not method.startswith("_"):
                found[f"{name}.{method}"] = function
    return found


def functions() -> dict[str, Any]:
    """`module.function` for every public coroutine that is given a transaction."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": member
        for module in _modules()
        for name, member in vars(module).items()
        if inspect.iscoroutinefunction(member)
        and member.__module__ == module.__name__
        and not name.startswith("_")
        and "transaction" in inspect.signature(member).parameters
    }
