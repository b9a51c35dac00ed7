"""`minirag credential` and `minirag secrets`."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirag.adapters.keyring import generate_entry, parse_keys
from tests.integration.cli.conftest import Cli
from tests.support.database import Database

API_KEY = "sk-of-my-own-0123456789-tail"


def test_credential_is_read_from_standard_input_and_listed_without_the_key(tenant: Cli) -> None:
    stored = tenant.run("credential", "set", "openai", stdin=f"{API_KEY}\n")
    listed = tenant.run("credential", "list")

    (told,) = tenant.json("credential", "list")["credentials"]
    assert (told["provider"], told["key_hint"]) == ("openai", "tail")
    assert "openai" in listed.stdout
    assert API_KEY not in stored.output + listed.output


def test_deleted_credential_is_gone(tenant: Cli) -> None:
    tenant.json("credential", "set", "openai", stdin=API_KEY)

    tenant.run("credential", "delete", "openai")

    assert tenant.json("credential", "list") == {"credentials": []}
    tenant.run("credential", "delete", "openai", code=3)


def test_credential_takes_no_key_as_an_argument_and_needs_one(tenant: Cli) -> None:
    tenant.run("credential", "set", "openai", API_KEY, code=2)

    empty = tenant.run("credential", "set", "openai", stdin=" \n", code=2)

    assert "standard input" in empty.stderr


def test_provider_that_takes_more_than_a_key_is_refused_with_the_others(tenant: Cli) -> None:
    refused = tenant.run("credential", "set", "bedrock", stdin=API_KEY, code=5)

    assert "openai" in refused.stderr
    assert API_KEY not in refused.output


def test_generated_entry_can_be_read_as_a_ring() -> None:
    entry = Cli().run("secrets", "generate", "spring").stdout
    dated = Cli().run("secrets", "generate").stdout

    assert next(iter(parse_keys(f"{entry},{dated}"))) == "spring"
    assert len(parse_keys(f"{entry},{dated}")) == 2
    Cli().run("secrets", "generate", "not a name", code=2)


@pytest.mark.parametrize(
    ("missing", "told"),
    [("MINIRAG_DATABASE_URL", "MINIRAG_DATABASE_URL"), ("MINIRAG_SECRET_KEYS", "SECRET_KEYS")],
)
def test_rotation_says_which_setting_is_missing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, str | None] = {
        "MINIRAG_DATABASE_URL": database.app_url,
        "MINIRAG_SECRET_KEYS": generate_entry("first"),
        missing: None,
    }

    result = Cli(settings).run("secrets", "rotate", code=2 if "DATABASE" in missing else 1)

    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_rotation_of_a_running_node_is_refused(cli_node, tenant: Cli) -> None:  # type: ignore[no-untyped-def]  # a NodeProcess
    refused = tenant.run("secrets", "rotate", "--data-dir", cli_node.data, code=1)

    assert "already runs" in refused.stderr
