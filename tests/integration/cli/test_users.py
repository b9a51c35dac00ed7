"""`minirag user`, `sign-in`, `sign-out` and `change-password`."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.cli.conftest import Cli

PASSWORD = "seven lazy walruses"


@pytest.fixture
def person(platform: Cli, tmp_path: Path) -> tuple[Cli, str, str]:
    """Somebody without a key, a tenant's slug, and the address of its owner."""
    slug, email = f"t-{uuid4().hex[:10]}", "ada@example.com"
    platform.run("tenant", "create", slug)
    platform.run(
        *("user", "create", email, "--role", "owner", "--tenant", slug), stdin=f"{PASSWORD}\n"
    )
    server = platform.environment["MINIRAG_SERVER"]
    return Cli({"MINIRAG_SERVER": server, "XDG_STATE_HOME": str(tmp_path)}), slug, email


def test_users_are_made_listed_changed_and_removed(tenant: Cli) -> None:
    made = tenant.json(
        *("user", "create", "Bob@example.com", "--role", "viewer", "--name", "Bob"),
        stdin=f"{PASSWORD}\n",
    )["user"]
    changed = tenant.json("user", "update", "bob@EXAMPLE.com", "--role", "editor", "--disable")
    shown = tenant.run("user", "list").stdout
    tenant.run("user", "delete", made["id"])

    assert made["role"] == "ROLE_VIEWER"
    assert changed["user"]["role"] == "ROLE_EDITOR"
    [line] = [line for line in shown.splitlines() if "Bob@example.com" in line]
    assert "editor" in line
    assert "disabled" in line
    assert "never" in line
    assert tenant.json("user", "list") == {"users": []}


def test_signed_in_a_person_needs_no_key_until_signing_out(person: tuple[Cli, str, str]) -> None:
    cli, slug, email = person
    refused = cli.run("collection", "list", code=4)

    shown = cli.run("sign-in", slug, email, stdin=f"{PASSWORD}\n").stdout
    cli.run("collection", "create", "Handbook")
    key = cli.json("key", "create", "--scope", "read")
    ended = cli.json("sign-out")

    assert "minirag sign-in" in refused.stderr
    assert f"as {email} (owner)" in shown
    assert key["secret"].startswith("mrk_")
    assert ended == {"sessions_ended": 1}
    assert "minirag sign-in" in cli.run("collection", "list", code=4).stderr


def test_tokens_are_renewed_when_they_run_out(person: tuple[Cli, str, str]) -> None:
    cli, slug, email = person
    cli.run("sign-in", slug, email, stdin=f"{PASSWORD}\n")
    path = Path(str(cli.environment["XDG_STATE_HOME"])) / "minirag" / "sessions.json"
    kept = json.loads(path.read_text())
    [before] = kept.values()
    before["access_until"] = 0
    path.write_text(json.dumps(kept))

    cli.run("collection", "list")

    [after] = json.loads(path.read_text()).values()
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_until"] > 0


def test_wrong_password_is_told_in_one_line_without_it(person: tuple[Cli, str, str]) -> None:
    cli, slug, email = person

    refused = cli.run("sign-in", slug, email, code=4, stdin="this is the wrong one\n")

    assert refused.stderr.count("\n") == 1
    assert "the wrong one" not in refused.stderr
    cli.run("sign-in", slug, email, code=2, stdin="")


def test_changed_password_signs_in_the_next_time(person: tuple[Cli, str, str]) -> None:
    cli, slug, email = person
    cli.run("sign-in", slug, email, stdin=f"{PASSWORD}\n")

    cli.run("change-password", stdin=f"{PASSWORD}\neight lazy walruses\n")
    cli.run("sign-in", slug, email, code=4, stdin=f"{PASSWORD}\n")
    cli.run("sign-in", slug, email, stdin="eight lazy walruses\n")

    assert cli.json("sign-out", "--everywhere")["sessions_ended"] == 2


def test_a_role_and_something_to_change_are_needed(tenant: Cli) -> None:
    tenant.run("user", "create", "x@example.com", "--role", "king", code=2, stdin=f"{PASSWORD}\n")
    tenant.run("user", "update", "x@example.com", code=2)
    assert "user list" in tenant.run("user", "delete", "x@example.com", code=3).stderr
