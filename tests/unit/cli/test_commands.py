"""The command line as a whole: what there is, and how fast it says so."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import minirag
from minirag.cli.main import app

COMMANDS = ["up", "serve", "worker", "migrate", "tenant", "key", "collection", "upload"]
COMMANDS += [
    "usage",
    "audit",
    "source",
    "webhook",
    "documents",
    "search",
    "ask",
    "chat",
    "doctor",
    "demo",
]


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100"}).stdout

    assert [name for name in COMMANDS if f" {name} " not in shown] == []


def test_module_runs_the_command() -> None:
    command = [sys.executable, "-m", "minirag", "--version"]

    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert shown.strip() == minirag.__version__


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom minirag.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'grpc', 'google.protobuf', 'pydantic', 'sqlalchemy', 'litellm', 'tenacity', 'fpdf'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "command", [["ask"], ["upload"], ["tenant", "create"], ["key", "create"], ["documents", "show"]]
)
def test_missing_argument_is_wrong_usage(command: list[str]) -> None:
    assert CliRunner().invoke(app, command).exit_code == 2


@pytest.mark.parametrize("command", [["ask"], ["upload"], ["key", "create"], ["tenant", "list"]])
def test_help_never_shows_a_key_from_the_environment(command: list[str]) -> None:
    secrets = {"MINIRAG_API_KEY": "mrk_secret", "MINIRAG_PLATFORM_KEY": "mrp_secret"}

    shown = CliRunner().invoke(app, [*command, "--help"], env=secrets)

    assert shown.exit_code == 0
    assert "_secret" not in shown.output
