"""Which files an upload takes, and what it calls them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.upload_files import (
    PART_BYTES,
    collect_files,
    collect_unnamed_files,
    hash_file,
    read_parts,
)


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def names(*paths: Path) -> list[str]:
    return [file.name for file in collect_files(paths)]


def test_folder_is_taken_with_all_below_it_in_order(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a.md", "sub/deep/c.md", "sub/a.md")

    assert names(tmp_path) == ["a.md", "b.md", "sub/a.md", "sub/deep/c.md"]


def test_hidden_files_and_folders_are_left_out_unless_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md", ".hidden.md", ".git/config", "sub/.env")

    assert names(tmp_path) == ["a.md"]
    assert names(tmp_path / ".hidden.md") == [".hidden.md"]


def test_file_is_called_by_its_name_wherever_it_lies(tmp_path: Path) -> None:
    make(tmp_path, "sub/a.md")

    assert names(tmp_path / "sub" / "a.md") == ["a.md"]


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)

    assert names(tmp_path) == ["a.md"]


def test_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    make(tmp_path, "a.md")

    assert names(tmp_path, tmp_path / "a.md", tmp_path) == ["a.md"]


def test_two_files_of_one_name_are_refused_rather_than_made_versions(tmp_path: Path) -> None:
    make(tmp_path, "one/a.md", "two/a.md")

    with pytest.raises(CliFailure, match=r"would both be 'a\.md'") as refusal:
        names(tmp_path / "one", tmp_path / "two")

    assert refusal.value.code is ExitCode.USAGE


def test_without_external_ids_names_may_be_the_same(tmp_path: Path) -> None:
    make(tmp_path, "one/a.md", "two/a.md")

    files = collect_unnamed_files([tmp_path / "one", tmp_path / "two", tmp_path / "one"])

    assert [file.path.parent.name for file in files] == ["one", "two"]


def test_folder_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(CliFailure, match="no file to upload"):
        names(tmp_path)


def test_content_is_read_in_parts(tmp_path: Path) -> None:
    content = os.urandom(PART_BYTES * 2 + 1)
    (tmp_path / "a.bin").write_bytes(content)

    parts = list(read_parts(tmp_path / "a.bin"))

    assert [len(part) for part in parts] == [PART_BYTES, PART_BYTES, 1]
    assert b"".join(parts) == content
    assert hash_file(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
