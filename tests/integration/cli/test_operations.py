"""`minirag operation`, `documents purge`, `collection delete` and `reconcile`, against a real node."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.cli.conftest import Cli


@pytest.fixture
def stocked(tenant: Cli, folder: Path) -> Cli:
    """A tenant with two documents."""
    tenant.run("collection", "create", "notes")
    tenant.run("upload", folder, "--collection", "notes")
    return tenant


def count_documents(tenant: Cli) -> int:
    return len(tenant.json("documents", "list")["documents"])


def test_purge_counts_first_and_erases_when_it_is_told_to(stocked: Cli) -> None:
    chosen = ("--collection", "notes", "--external-id-prefix", "sub/")

    shown = stocked.json("documents", "purge", *chosen, "--dry-run")
    refused = stocked.run("documents", "purge", *chosen, code=2)
    before = count_documents(stocked)
    receipt = stocked.json("documents", "purge", *chosen, "--yes")["operation"]

    assert int(shown["document_count"]) == len(shown["sample_document_ids"]) == 1
    assert "--yes" in refused.stderr
    assert (before, count_documents(stocked)) == (2, 1)
    assert receipt["state"] == "OPERATION_STATE_SUCCEEDED"
    assert (receipt["done"], receipt["total"]) == ("1", "1")


def test_deleted_collection_shows_its_receipt_afterwards_too(stocked: Cli) -> None:
    shown = stocked.run("collection", "delete", "notes", "--yes").stdout
    operation_id = shown.split(":")[0]

    again = stocked.run("operation", "show", operation_id).stdout
    listed = stocked.run("operation", "list").stdout

    assert "succeeded, 2 of 2" in shown
    assert "points" in shown
    assert again == shown
    assert "delete_collection" in listed.replace(" ", "_")
    assert stocked.run("operation", "wait", operation_id).stdout == shown


def test_what_has_ended_is_not_called_off(stocked: Cli) -> None:
    receipt = stocked.json("collection", "delete", "notes", "--yes")["operation"]

    refused = stocked.run("operation", "cancel", receipt["id"], code=5)

    assert "has ended" in refused.stderr


def test_tenants_deletion_is_called_off_by_its_operation(platform: Cli) -> None:
    slug = f"t-{uuid4().hex[:10]}"
    made = platform.json("tenant", "create", slug)
    tenant = Cli({**platform.environment, "MINIRAG_API_KEY": made["secret"]})
    deleted = platform.json("tenant", "delete", slug, "--yes")["operation"]

    ended = platform.json("operation", "cancel", deleted["id"], "--as-platform")["operation"]

    assert ended["state"] == "OPERATION_STATE_CANCELLED"
    tenant.run("collection", "list")


def test_reconciling_a_node_finds_nothing_to_repair(platform: Cli, stocked: Cli) -> None:
    """The command asks the running node, whose vectors no other process can open."""
    dry = platform.json("reconcile", "--dry-run")["operation"]
    shown = platform.run("reconcile").stderr
    listed = platform.json("operation", "list", "--as-platform")["operations"]

    assert (dry["state"], dry["dry_run"]) == ("OPERATION_STATE_SUCCEEDED", True)
    assert int(dry["done"]) >= 1
    assert "drift" not in dry
    assert "Nothing has been found to differ." in shown
    assert dry["id"] in [one["id"] for one in listed]


def test_reconciling_takes_the_platform_key(tenant: Cli) -> None:
    key = tenant.environment["MINIRAG_API_KEY"]

    refused = tenant.run("reconcile", "--platform-key", str(key), code=4)

    assert "platform key" in refused.stderr
