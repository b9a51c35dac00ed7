"""The data directory: its place, its lock, the platform key, and the checks of the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minirag.adapters.keyring import parse_keys
from minirag.embedded import account, available, binaries, layout
from minirag.embedded.available import check_machine
from minirag.embedded.errors import AlreadyRunning, EmbeddedError
from minirag.embedded.layout import DataDirectory, default_data_directory
from minirag.embedded.platform_key import load_or_create_platform_key
from minirag.embedded.secret_keys import load_or_create_secret_keys


def test_default_place_follows_the_xdg_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")

    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_data_directory() == Path("/data/minirag")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_directory() == Path("/home/ada/.local/share/minirag")


def test_default_place_of_root_is_outside_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout.os, "geteuid", lambda: 0)

    assert default_data_directory() == Path("/var/lib/minirag")


def test_a_user_without_a_name_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run with any uid; initdb would say it less kindly."""
    monkeypatch.setattr(account.os, "geteuid", lambda: 54321)

    with pytest.raises(EmbeddedError, match=r"uid 54321.*/etc/passwd"):
        account.child_account()


def test_lock_is_held_by_one_and_free_again_afterwards(directory: Path) -> None:
    data = DataDirectory(directory / "data")
    data.prepare()

    with data.lock(), pytest.raises(AlreadyRunning, match="already runs") as refusal, data.lock():
        pass
    assert refusal.value.pid == os.getpid()

    with data.lock():
        assert data.lock_file.read_text() == f"{os.getpid()}\n"


def test_what_is_private_is_closed_to_others(directory: Path) -> None:
    data = DataDirectory(directory / "data")
    data.prepare()

    for private in (data.vectors, data.blobs, data.socket_directory()):
        assert private.stat().st_mode & 0o077 == 0


def test_a_socket_directory_that_another_user_made_is_refused(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    data = DataDirectory(directory / "data")
    data.prepare()
    (data.path / "run").mkdir()
    os.chown(data.path / "run", 12345, 12345)

    with pytest.raises(EmbeddedError, match="belongs to uid 12345"):
        data.socket_directory()


def test_platform_key_is_made_once_and_private(directory: Path) -> None:
    path = directory / "platform.key"

    key, is_new = load_or_create_platform_key(path)

    assert is_new
    assert key.startswith("mrp_")
    assert len(key) == 47
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_platform_key(path) == (key, False)


def test_platform_key_file_that_was_opened_is_closed_again(directory: Path) -> None:
    path = directory / "platform.key"
    load_or_create_platform_key(path)
    path.chmod(0o644)

    load_or_create_platform_key(path)

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "mrp_short", "mrk_" + "a" * 43])
def test_damaged_platform_key_is_never_replaced_silently(directory: Path, content: str) -> None:
    """A new key would lock out every client that holds the old one."""
    path = directory / "platform.key"
    path.write_text(content)

    with pytest.raises(EmbeddedError, match="restore it"):
        load_or_create_platform_key(path)

    assert path.read_text() == content


def test_secret_keys_are_made_once_and_private(directory: Path) -> None:
    path = directory / "secret.keys"

    text = load_or_create_secret_keys(path)

    assert len(parse_keys(text)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert load_or_create_secret_keys(path) == text
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "\n", "first:c2VjcmV0", "c2VjcmV0"])
def test_damaged_secret_keys_are_never_replaced_silently(directory: Path, content: str) -> None:
    """What the lost keys sealed could never be read again."""
    path = directory / "secret.keys"
    path.write_text(content)

    with pytest.raises(EmbeddedError, match=str(path)) as caught:
        load_or_create_secret_keys(path)

    assert path.read_text() == content
    assert "c2VjcmV0" not in str(caught.value)


def test_a_machine_that_can_run_it_passes_every_check(directory: Path) -> None:
    checks = check_machine(directory / "data")

    assert [check for check in checks if not check.is_ok] == []
    assert not (directory / "data").exists()


def test_each_problem_comes_with_advice(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "POSTGRES_PACKAGE", "no_such_package")
    monkeypatch.setattr(binaries, "REDIS_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", "/nowhere")
    usage = shutil.disk_usage(directory)
    monkeypatch.setattr(available, "LOW_DISK_BYTES", usage.total + 1)

    problems = {check.name: check for check in check_machine(directory) if not check.is_ok}

    assert {"Postgres binary", "Redis binary", "Disk"} <= problems.keys()
    assert all(problem.advice for problem in problems.values())
