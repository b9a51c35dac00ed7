"""Services that serve a caller open units of work with its context, which carries its restriction."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import minirag.services

SERVICES = Path(minirag.services.__file__).parent


def whole_openings(source: str) -> Iterator[int]:
    """Lines that open all of a tenant although a context is at hand: `.tenant(context.tenant_id)`."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "tenant"
            and node.args
            and isinstance(node.args[0], ast.Attribute)
            and node.args[0].attr == "tenant_id"
            and "context" in ast.unparse(node.args[0].value)
        ):
            yield node.lineno


def test_no_service_forgets_what_its_caller_is_restricted_to() -> None:
    forgetful = {
        file.name: lines
        for file in SERVICES.glob("*.py")
        if (lines := list(whole_openings(file.read_text())))
    }

    assert forgetful == {}


def test_the_look_for_openings_finds_one() -> None:
    source = "uow.tenant(context)\nuow.tenant(tenant_id)\nuow.tenant(self._context.tenant_id)\n"

    assert list(whole_openings(source)) == [3]
