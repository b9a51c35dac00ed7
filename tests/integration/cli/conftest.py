"""The `minirag` command against a node that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from minirag.cli.main import app
from tests.support.node import NodeProcess
from tests.support.servers import open_directory


@dataclass(frozen=True)
class Cli:
    """The command with its connection in the environment."""

    environment: dict[str, str | None] = field(default_factory=dict)

    def run(self, *arguments: object, code: int = 0, stdin: str = "") -> Result:
        """Run it and check the exit code."""
        # Wide, so that nothing is folded; no variables of the person who runs the tests.
        cleared: dict[str, str | None] = dict.fromkeys(("MINIRAG_API_KEY", "MINIRAG_PLATFORM_KEY"))
        cleared["XDG_STATE_HOME"] = "/nonexistent"  # nor their sign-in
        result = CliRunner().invoke(
            app,
            [str(argument) for argument in arguments],
            input=stdin,
            env={**cleared, **self.environment},
        )
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        return result

    def json(self, *arguments: object, code: int = 0, stdin: str = "") -> Any:
        """Run it with `--json` and return the one document that it prints."""
        return json.loads(self.run(*arguments, "--json", code=code, stdin=stdin).stdout)

    def events(self, *arguments: object, code: int = 0, stdin: str = "") -> list[Any]:
        """Run it with `--json` and return the lines that it prints."""
        printed = self.run(*arguments, "--json", code=code, stdin=stdin).stdout
        return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture(scope="session")
def cli_node() -> Iterator[NodeProcess]:
    """A node without a provider, whose webhooks may lead to this machine."""
    with open_directory() as path:
        node = NodeProcess(path, {"MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32"})
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.fixture(scope="session")
def platform(cli_node: NodeProcess) -> Cli:
    """With the platform key."""
    return Cli({"MINIRAG_SERVER": cli_node.address, "MINIRAG_PLATFORM_KEY": cli_node.platform_key})


@pytest.fixture
def tenant(platform: Cli) -> Cli:
    """With the key of a tenant of its own."""
    made = platform.json("tenant", "create", f"t-{uuid4().hex[:10]}")
    return Cli({**platform.environment, "MINIRAG_API_KEY": made["secret"]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents, one of them in a folder, and a hidden file."""
    texts = {
        "alpacas.md": "# Alpacas\n\n## Wool\n\nThe wool of an alpaca is sheared once a year.",
        "sub/volcanoes.txt": "A volcano erupts when magma rises to the surface.",
        ".hidden.md": "Nobody reads this.",
    }
    for name, text in texts.items():
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    return tmp_path / "docs"
