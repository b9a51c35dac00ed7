"""`minirag sync`: the collection holds what the folder holds, whatever happened in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from minirag.cli import uploading
from tests.integration.cli.conftest import Cli

FAILED = 7


@pytest.fixture
def books(tenant: Cli) -> Cli:
    """A tenant with the collection `Books`."""
    tenant.run("collection", "create", "Books")
    return tenant


def sync(books: Cli, folder: Path, *options: str, code: int = 0) -> list[dict]:
    return books.events("sync", folder, "--collection", "Books", *options, code=code)


def planned(events: list[dict]) -> dict[str, str]:
    """Action by file."""
    return {event["file"]: event["action"] for event in events if event["event"] == "plan"}


def problems(events: list[dict]) -> dict[str, str]:
    return {event["file"]: event["reason"] for event in events if event["event"] == "problem"}


def documents(books: Cli) -> dict[str, tuple[str, int]]:
    """State and version by external id."""
    listed = books.json("documents", "list", "--collection", "Books")["documents"]
    return {
        one["external_id"]: (one["state"].removeprefix("DOCUMENT_STATE_"), one["version"])
        for one in listed
    }


def test_folder_is_added_updated_and_removed_step_by_step(books: Cli, folder: Path) -> None:
    first = sync(books, folder)
    again = sync(books, folder)
    (folder / "alpacas.md").write_text("Alpacas hum.")
    (folder / "sub" / "volcanoes.txt").unlink()
    (folder / "new.md").write_text("Something new.")
    third = sync(books, folder)

    assert planned(first) == {"alpacas.md": "add", "sub/volcanoes.txt": "add"}
    assert planned(again) == {}
    assert again[-1]["unchanged"] == 2
    assert planned(third) == {
        "alpacas.md": "update",
        "new.md": "add",
        "sub/volcanoes.txt": "remove",
    }
    assert documents(books) == {"alpacas.md": ("READY", 2), "new.md": ("READY", 1)}


def test_dry_run_tells_the_plan_and_does_nothing(books: Cli, folder: Path) -> None:
    sync(books, folder)
    before = documents(books)
    (folder / "alpacas.md").unlink()
    (folder / "new.md").write_text("Something new.")

    told = books.run("sync", folder, "--collection", "Books", "--dry-run").stdout

    assert "+ new.md" in told
    assert "- alpacas.md" in told
    assert "Plan: 1 to add, 1 to remove, 1 unchanged." in told
    assert documents(books) == before


def test_only_what_this_sync_put_there_is_removed(books: Cli, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "theirs.md").write_text("Of another folder.")
    uploaded = tmp_path / "uploaded.md"
    uploaded.write_text("By hand.")
    books.run("upload", uploaded, "--collection", "Books")
    sync(books, other)
    sync(books, folder)
    shutil.rmtree(folder / "sub")

    events = sync(books, folder)

    assert planned(events) == {"sub/volcanoes.txt": "remove"}
    assert set(documents(books)) == {"alpacas.md", "theirs.md", "uploaded.md"}


def test_document_of_another_hand_is_taken_over_only_when_asked(books: Cli, folder: Path) -> None:
    books.run("upload", folder, "--collection", "Books")

    refused = sync(books, folder, code=FAILED)
    adopted = sync(books, folder, "--adopt")

    assert set(problems(refused)) == {"alpacas.md", "sub/volcanoes.txt"}
    assert planned(refused) == {}
    assert planned(adopted) == {"alpacas.md": "update", "sub/volcanoes.txt": "update"}
    assert planned(sync(books, folder)) == {}


def test_without_delete_nothing_is_removed(books: Cli, folder: Path) -> None:
    sync(books, folder)
    (folder / "alpacas.md").unlink()

    assert planned(sync(books, folder, "--no-delete")) == {}
    assert set(documents(books)) == {"alpacas.md", "sub/volcanoes.txt"}


def test_empty_folder_removes_everything_only_when_asked(books: Cli, folder: Path) -> None:
    sync(books, folder)
    shutil.rmtree(folder)
    folder.mkdir()

    refused = books.run("sync", folder, "--collection", "Books", code=2)
    kept = documents(books)
    sync(books, folder, "--allow-empty")

    assert "--allow-empty" in refused.stderr
    assert len(kept) == 2
    assert documents(books) == {}


def test_file_that_cannot_be_taken_any_more_keeps_its_document(
    books: Cli, folder: Path, tmp_path: Path
) -> None:
    sync(books, folder)
    shutil.move(folder / "alpacas.md", tmp_path / "alpacas.md")
    (folder / "alpacas.md").symlink_to(tmp_path / "alpacas.md")

    events = sync(books, folder, code=FAILED)

    assert "leads out of the folder" in problems(events)["alpacas.md"]
    assert planned(events) == {}
    assert set(documents(books)) == {"alpacas.md", "sub/volcanoes.txt"}


def test_document_that_failed_by_its_content_is_told_and_not_sent_again(
    books: Cli, folder: Path
) -> None:
    (folder / "broken.bin").write_bytes(b"\x00\x01\x02\x03" * 50)

    first = sync(books, folder, code=FAILED)
    second = sync(books, folder, code=FAILED)

    assert planned(first)["broken.bin"] == "add"
    assert planned(second) == {}
    assert "broken.bin" in problems(second)
    assert documents(books)["broken.bin"] == ("FAILED", 1)


def test_file_that_changes_while_it_is_sent_is_told_and_taken_the_next_time(
    books: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_file = uploading.hash_file

    def hash_and_change(path: Path) -> str:
        digest = hash_file(path)
        if path.name == "alpacas.md":
            path.write_text("x" * path.stat().st_size)
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(uploading, "hash_file", hash_and_change)
        events = sync(books, folder, code=FAILED)
    again = sync(books, folder)

    assert [event["file"] for event in events if event["event"] == "refused"] == ["alpacas.md"]
    assert planned(again) == {"alpacas.md": "add"}
    assert set(documents(books)) == {"alpacas.md", "sub/volcanoes.txt"}


@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
@pytest.mark.long
def test_sync_that_was_interrupted_is_finished_by_the_next_one(
    books: Cli, folder: Path, sign: signal.Signals, code: int
) -> None:
    for number in range(60):
        (folder / f"{number:02}.md").write_text(f"The text of number {number}.")
    sync_command = [sys.executable, "-m", "minirag", "sync", folder, "--collection", "Books"]
    with subprocess.Popen(
        [*map(str, sync_command), "--json"],
        env={**os.environ, **{k: v for k, v in books.environment.items() if v}},
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs, tests among them, deaf to Ctrl-C, and so are their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # it takes no lock
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if json.loads(line)["event"] == "accepted":
                running.send_signal(sign)
                break
        running.stdout.read()

    finished = sync(books, folder)

    assert running.returncode == code
    assert finished[-1]["event"] == "summary"
    assert len(planned(finished)) < 62
    assert set(planned(finished).values()) == {"add"}
    assert len(documents(books)) == 62
    assert {version for _, version in documents(books).values()} == {1}
