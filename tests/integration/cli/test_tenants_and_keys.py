"""`minirag tenant` and `key`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.integration.cli.conftest import Cli


def new_slug() -> str:
    return f"t-{uuid4().hex[:10]}"


def test_new_tenant_is_listed_and_its_key_works(platform: Cli) -> None:
    slug = new_slug()

    made = platform.json("tenant", "create", slug, "--name", "A tenant")

    assert made["tenant"]["display_name"] == "A tenant"
    assert slug in [one["slug"] for one in platform.json("tenant", "list")["tenants"]]
    tenant = Cli({**platform.environment, "MINIRAG_API_KEY": made["secret"]})
    assert tenant.json("collection", "list") == {"collections": []}


def test_secret_is_shown_once_with_how_to_export_it(platform: Cli) -> None:
    shown = platform.run("tenant", "create", new_slug()).stdout

    assert shown.count("mrk_") == 1
    assert "export MINIRAG_API_KEY=mrk_" in shown


def test_taken_slug_is_refused_in_one_line(platform: Cli) -> None:
    slug = new_slug()
    platform.run("tenant", "create", slug)

    result = platform.run("tenant", "create", slug, code=5)

    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert f"minirag tenant create: the slug '{slug}' is taken" in result.stderr


def test_tenants_are_listed_for_people(platform: Cli) -> None:
    slug = new_slug()
    platform.run("tenant", "create", slug)

    shown = platform.run("tenant", "list").stdout

    [line] = [line for line in shown.splitlines() if slug in line]
    assert "active" in line


def test_key_has_the_scopes_and_the_end_that_were_asked(tenant: Cli) -> None:
    made = tenant.json("key", "create", "--name", "reader", "--scope", "read", "--expires", "30d")

    key = made["api_key"]
    assert key["scopes"] == ["SCOPE_READ"]
    left = datetime.fromisoformat(key["expire_time"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    reader = Cli({**tenant.environment, "MINIRAG_API_KEY": made["secret"]})
    reader.run("collection", "list")
    refused = reader.run("collection", "create", "x", code=4)
    assert "INGEST" in refused.stderr


def test_revoked_key_is_listed_as_such(tenant: Cli) -> None:
    key_id = tenant.json("key", "create", "--scope", "read,chat")["api_key"]["id"]

    tenant.run("key", "revoke", key_id)

    [listed] = [one for one in tenant.json("key", "list")["api_keys"] if one["id"] == key_id]
    assert "revoke_time" in listed
    assert "revoked" in tenant.run("key", "list").stdout


def test_platform_key_manages_the_keys_of_a_named_tenant(platform: Cli) -> None:
    slug = new_slug()
    tenant_id = platform.json("tenant", "create", slug)["tenant"]["id"]

    made = platform.json("key", "create", "--tenant", slug, "--scope", "read")

    by_id = platform.json("key", "list", "--tenant", tenant_id)["api_keys"]
    assert made["api_key"]["id"] in [one["id"] for one in by_id]
    platform.run("key", "revoke", made["api_key"]["id"], "--tenant", slug)


def test_unknown_scope_and_duration_are_wrong_usage(tenant: Cli) -> None:
    assert "choose from" in tenant.run("key", "create", "--scope", "write", code=2).stderr
    tenant.run("key", "create", "--scope", "read", "--expires", "soon", code=2)


def test_unknown_tenant_is_not_found(platform: Cli) -> None:
    result = platform.run("key", "list", "--tenant", "no-such-tenant", code=3)

    assert "minirag tenant list" in result.stderr
