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


def test_rotated_key_works_with_both_secrets_until_the_overlap_is_over(tenant: Cli) -> None:
    made = tenant.json("key", "create", "--scope", "read")

    rotated = tenant.json("key", "rotate", made["api_key"]["id"], "--overlap", "1h")

    assert rotated["api_key"]["id"] == made["api_key"]["id"]
    assert rotated["secret"] != made["secret"]
    assert "previous_secret_expire_time" in rotated["api_key"]
    for secret in (made["secret"], rotated["secret"]):
        Cli({**tenant.environment, "MINIRAG_API_KEY": secret}).run("collection", "list")
    shown = tenant.run("key", "rotate", made["api_key"]["id"], "--overlap", "0").stdout
    assert "the old secret has ended" in shown
    assert shown.count("mrk_") == 1


def test_key_of_one_collection_lists_that_one_only(tenant: Cli) -> None:
    kept = tenant.json("collection", "create", "kept")["collection"]["id"]
    tenant.run("collection", "create", "hidden")

    made = tenant.json("key", "create", "--scope", "read,ingest", "--collection", "kept")

    assert made["api_key"]["collection_ids"] == [kept]
    reader = Cli({**tenant.environment, "MINIRAG_API_KEY": made["secret"]})
    listed = reader.json("collection", "list")["collections"]
    assert [each["id"] for each in listed] == [kept]
    refused = reader.run("collection", "create", "x", code=4)
    assert "use a key" in refused.stderr


def test_key_is_renamed_and_limited(tenant: Cli) -> None:
    key_id = tenant.json("key", "create", "--scope", "read", "--streams", "3")["api_key"]["id"]

    tenant.run("key", "update", key_id, "--name", "renamed", "--requests-per-minute", "600")

    [key] = [one for one in tenant.json("key", "list")["api_keys"] if one["id"] == key_id]
    assert key["display_name"] == "renamed"
    assert key["limits"] == {"requests_per_minute": "600"}
    lifted = tenant.json("key", "update", key_id, "--no-limits")["api_key"]
    assert lifted["limits"] == {}
    tenant.run("key", "update", key_id, code=2)


def test_log_tells_who_did_what(tenant: Cli, platform: Cli) -> None:
    made = tenant.json("collection", "create", "logged")["collection"]["id"]
    reader = tenant.json("key", "create", "--scope", "read")
    refused = Cli({**tenant.environment, "MINIRAG_API_KEY": reader["secret"]})
    refused.run("collection", "create", "x", code=4)

    [event] = tenant.json("audit", "--resource", made)["events"]
    named = tenant.json("audit", "--method", "TenantService/CreateApiKey", "--limit", "1")
    shown = tenant.run("audit", "--since", "1h").stdout

    assert event["method"] == "minirag.v1.DocumentService/CreateCollection"
    assert [one["resource_id"] for one in named["events"]] == [reader["api_key"]["id"]]
    assert made in shown
    assert "TenantService/CreateTenant" in platform.run("audit", "--tenant", "-").stdout
