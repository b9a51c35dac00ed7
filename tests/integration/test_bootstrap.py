"""The wiring: what is missing is named, and what was opened is closed again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from minirag.adapters.keyring import generate_entry
from minirag.bootstrap import Bell, adapters, build_container
from minirag.config import Settings, SettingsError, load_settings
from minirag.domain.access import PlatformContext
from minirag.domain.operations import OperationState
from minirag.errors import FailedPrecondition
from minirag.repositories.vectors.edge import EdgeVectorStore
from tests.integration.postgres.records import add_tenant
from tests.support.database import Database


def settings_for(database: Database, directory: Path, **changes: object) -> Settings:
    return load_settings(
        _env_file=None,
        **{
            "database_url": database.app_url,
            "redis_url": "redis://127.0.0.1:1/0",
            "edge_path": directory / "vectors",
            "blob_path": directory / "blobs",
            **changes,
        },
    )


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("database_url", "MINIRAG_DATABASE_URL"),
        ("edge_path", "MINIRAG_QDRANT_URL"),
        ("blob_path", "MINIRAG_BLOB_PATH"),
    ],
)
async def test_a_missing_setting_is_named_and_nothing_stays_open(
    database: Database, tmp_path: Path, missing: str, named: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{named}: "):
        await build_container(settings_for(database, tmp_path, **{missing: None}))

    # The vectors' directory takes one process at a time: it is free again.
    await (await build_container(settings_for(database, tmp_path))).close()


async def test_a_directory_that_cannot_be_used_is_named(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    for name in ("edge_path", "blob_path"):
        with pytest.raises(SettingsError, match=f"^MINIRAG_{name.upper()}: "):
            await build_container(
                settings_for(database, tmp_path, **{name: tmp_path / "file" / "below"})
            )


async def test_malformed_secret_keys_are_told_in_one_line_without_the_key(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"^MINIRAG_SECRET_KEYS: the key first must") as caught:
        await build_container(settings_for(database, tmp_path, secret_keys="first:4f7c1d"))

    assert "4f7c1d" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_ring_of_the_settings_seals(database: Database, tmp_path: Path) -> None:
    keys = f"{generate_entry('new')},{generate_entry('old')}"
    container = await build_container(settings_for(database, tmp_path, secret_keys=keys))

    sealed = container.keyring.seal(b"secret", bound_to=b"here")

    assert sealed.by == "new"
    assert container.keyring.open(sealed, bound_to=b"here") == b"secret"
    await container.close()


async def test_vectors_in_use_by_another_process_are_refused(
    database: Database, tmp_path: Path
) -> None:
    holder = EdgeVectorStore(tmp_path / "vectors")

    with pytest.raises(FailedPrecondition, match="in use by process"):
        await build_container(settings_for(database, tmp_path))

    await holder.close()


async def test_a_server_needs_no_redis_and_a_worker_says_that_it_does(
    database: Database, tmp_path: Path
) -> None:
    container = await build_container(settings_for(database, tmp_path, redis_url=None))

    assert set(container.pings) == {"postgres", "vectors", "blobs"}
    for ping in container.pings.values():
        await ping()
    with pytest.raises(SettingsError, match=r"^MINIRAG_REDIS_URL: "):
        _ = container.job_queue

    await container.close()


async def test_rows_of_a_tenant_may_take_longer_to_go_than_other_statements(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "STATEMENT_SECONDS", 1.0)
    container = await build_container(settings_for(database, tmp_path, redis_url=None))
    tenant_id = await add_tenant(container.uow_factory)
    owner = await asyncpg.connect(database.owner_url)
    _, operation = await container.offboarding.delete(
        tenant_id, now=True, if_revision=None, request=None
    )
    job_id = await owner_fetchval(owner, tenant_id, "SELECT id FROM jobs")

    async with owner.transaction():
        # Holds up the deletion of the row, as many rows below it would.
        await owner_fetchval(owner, tenant_id, "SELECT 1 FROM tenants FOR KEY SHARE")
        erasing = asyncio.create_task(container.job_runner.run(tenant_id, job_id))
        async with asyncio.timeout(20):
            while not await owner.fetch(HELD_UP, 2.0):  # noqa: ASYNC110  # Postgres knows
                await asyncio.sleep(0.05)
    await erasing

    async with container.uow_factory.platform() as platform:
        assert await platform.tenants.get(tenant_id) is None
    receipt = await container.operations.get(PlatformContext(), operation.id)
    assert receipt.state is OperationState.SUCCEEDED
    await owner.close()
    await container.close()


HELD_UP = """
    SELECT FROM pg_locks
    WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))
      AND clock_timestamp() - waitstart > make_interval(secs => $1)
"""


async def owner_fetchval(owner: asyncpg.Connection, tenant_id: UUID, statement: str) -> Any:
    """The statement's value, with the tenant's rows alone in sight."""
    await owner.execute(f"SET app.tenant_id = '{tenant_id}'")
    return await owner.fetchval(statement)


def test_the_bell_rings_for_nobody_until_it_is_connected() -> None:
    bell, heard, tenant_id = Bell(), list[UUID | None](), uuid4()

    bell()
    bell.connect(heard.append)
    bell()
    bell(tenant_id)

    assert heard == [None, tenant_id]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outbound_allowed_networks", "10.0.0.0/8,everywhere"),
        ("outbound_allowed_networks", "10.0.0.1/8"),
        ("outbound_ca_file", "/nowhere/authorities.pem"),
        ("outbound_ca_file", __file__),  # no certificate in it
    ],
)
async def test_where_webhooks_may_lead_is_told_when_it_cannot_be_read(
    database: Database, tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^MINIRAG_{name.upper()}: ") as caught:
        await build_container(settings_for(database, tmp_path, **{name: value}))

    assert "\n" not in str(caught.value)
