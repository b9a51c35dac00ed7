"""What `minirag sync` finds in a folder, and what it tells of the rest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from minirag.cli import sync_files
from minirag.cli.sync_files import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("Alpacas")
    (folder / "sub" / "b.txt").write_text("Badgers")
    return folder


def test_files_are_named_by_their_path_with_the_hash_of_their_content(folder: Path) -> None:
    (folder / ".hidden").write_text("Nobody reads this.")

    content = read_folder(folder)

    assert {name: one.sha256 for name, one in content.files.items()} == {
        "a.md": hashlib.sha256(b"Alpacas").hexdigest(),
        "sub/b.txt": hashlib.sha256(b"Badgers").hexdigest(),
    }
    assert content.skipped == {}


def test_links_are_followed_to_files_of_the_folder_only(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("Secret")
    (folder / "inside.md").symlink_to("a.md")
    (folder / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "nowhere.txt").symlink_to("nothing")
    (folder / "itself.txt").symlink_to("itself.txt")
    (folder / "loop").symlink_to(folder)

    content = read_folder(folder)

    assert set(content.files) == {"a.md", "inside.md", "sub/b.txt"}
    assert set(content.skipped) == {"outside.txt", "nowhere.txt", "itself.txt", "loop/"}
    assert "leads out of the folder" in content.skipped["outside.txt"]


def test_name_that_is_not_utf8_is_told_readably(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("Latin-1")

    content = read_folder(folder)

    assert set(content.files) == {"a.md", "sub/b.txt"}
    assert content.skipped == {"caf\\xe9.txt": "its name isn't UTF-8"}


def test_what_is_no_file_with_bytes_is_told(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "empty.txt").touch()

    skipped = read_folder(folder).skipped

    assert skipped == {"pipe": "is no regular file", "empty.txt": "is empty"}


def test_file_that_cannot_be_read_is_told_and_stops_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_file(path: Path) -> str:
        if path.name == "a.md":
            raise PermissionError(13, "Permission denied")
        return "hash"

    monkeypatch.setattr(sync_files, "hash_file", hash_file)

    content = read_folder(folder)

    assert set(content.files) == {"sub/b.txt"}
    assert content.skipped == {"a.md": "can't be read: Permission denied"}


def test_folder_that_cannot_be_listed_may_hold_everything_below_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(sync_files.os, "scandir", refuse)

    content = read_folder(folder)

    assert content.skipped == {"sub/": "can't be read: Permission denied"}
    assert content.may_hold("sub/deep/anything.txt")
    assert not content.may_hold("subway.txt")
