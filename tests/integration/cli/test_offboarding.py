"""`minirag tenant delete`, `undelete`, `operation` and `export`, against a real node."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path
from uuid import uuid4

from tests.integration.cli.conftest import Cli


def make_tenant(platform: Cli) -> tuple[str, Cli]:
    slug = f"t-{uuid4().hex[:10]}"
    made = platform.json("tenant", "create", slug)
    return slug, Cli({**platform.environment, "MINIRAG_API_KEY": made["secret"]})


def test_deleted_tenant_can_be_kept_in_its_grace_period(platform: Cli) -> None:
    slug, tenant = make_tenant(platform)

    deleted = platform.run("tenant", "delete", slug, "--yes").stdout
    listed = platform.run("tenant", "list").stdout
    restored = platform.run("tenant", "undelete", slug).stdout

    assert f"minirag tenant undelete {slug}" in deleted
    assert "deleting" in next(line for line in listed.splitlines() if slug in line)
    assert f"{slug} is active again" in restored
    tenant.run("collection", "list")


def test_nothing_is_erased_where_nobody_can_be_asked(platform: Cli) -> None:
    slug, tenant = make_tenant(platform)

    refused = platform.run("tenant", "delete", slug, "--now", stdin="y\n", code=2)

    assert "--yes" in refused.stderr
    tenant.run("collection", "list")


def test_receipt_of_a_tenant_deleted_now_shows_every_store_empty(
    platform: Cli, folder: Path
) -> None:
    slug, tenant = make_tenant(platform)
    tenant.run("collection", "create", "notes")
    tenant.run("upload", folder, "--collection", "notes")

    receipt = platform.json("tenant", "delete", slug, "--now", "--wait", "--yes")["operation"]
    shown = platform.run("tenant", "operation", receipt["id"]).stdout

    erased = {(one["store"], one["kind"]): int(one.get("count", 0)) for one in receipt["erased"]}
    remaining = {
        (one["store"], one["kind"]): int(one.get("count", 0)) for one in receipt["remaining"]
    }
    assert receipt["state"] == "OPERATION_STATE_SUCCEEDED"
    assert {store for store, _ in remaining} == {"postgres", "blobs", "vectors", "redis"}
    assert not any(remaining.values())
    assert erased["vectors", "points"] == erased["postgres", "chunks"] == 2
    assert "succeeded" in shown
    assert "points" in shown
    assert slug not in platform.run("tenant", "list").stdout


def test_exported_archive_is_whole_and_for_its_owner_only(
    platform: Cli, folder: Path, tmp_path: Path
) -> None:
    _, tenant = make_tenant(platform)
    tenant.run("collection", "create", "notes")
    tenant.run("upload", folder, "--collection", "notes")
    file = tmp_path / "archive.tar"

    completed = tenant.json("tenant", "export", file)

    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert int(completed["byte_size"]) == file.stat().st_size
    assert int(completed["counts"]["documents"]) == 2
    assert sum(name.startswith("files/") for name in names) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_name("archive.tar.part").exists()


def test_export_with_a_lesser_key_is_refused_and_leaves_no_file(
    tenant: Cli, tmp_path: Path
) -> None:
    made = json.loads(tenant.run("key", "create", "--scope", "manage", "--json").stdout)
    lesser = Cli({**tenant.environment, "MINIRAG_API_KEY": made["secret"]})
    file = tmp_path / "archive.tar"

    refused = lesser.run("tenant", "export", file, code=4)

    assert "lacks the scope" in refused.stderr
    assert list(tmp_path.glob("archive*")) == []


def test_export_into_a_directory_that_is_not_there_says_so(tenant: Cli, tmp_path: Path) -> None:
    refused = tenant.run("tenant", "export", tmp_path / "nowhere" / "archive.tar", code=1)

    assert "No such file or directory" in refused.stderr
