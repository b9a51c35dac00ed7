"""`minirag collection`, `upload` and `documents`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


def final_states(events: list[dict]) -> dict[str, str]:
    return {
        event["file"]: event["event"]
        for event in events
        if event["event"] in {"ready", "failed", "refused", "unchanged"}
    }


def documents(tenant: Cli) -> dict[str, dict]:
    listed = tenant.json("documents", "list", "--collection", "Books")["documents"]
    return {one["external_id"]: one for one in listed}


@pytest.fixture
def books(tenant: Cli) -> Cli:
    """A tenant with the collection `Books`."""
    tenant.run("collection", "create", "Books", "--description", "All of them")
    return tenant


def test_collection_is_listed_with_its_description(books: Cli) -> None:
    [listed] = books.json("collection", "list")["collections"]

    assert (listed["display_name"], listed["description"]) == ("Books", "All of them")
    assert "none: lexical" in books.run("collection", "list").stdout


def test_folder_is_uploaded_until_ready_under_its_relative_paths(books: Cli, folder: Path) -> None:
    result = books.run("upload", folder, "--collection", "Books", "--metadata", "year=2024")

    assert "2 files: 2 searchable." in result.stdout
    found = documents(books)
    assert set(found) == {"alpacas.md", "sub/volcanoes.txt"}
    assert all(one["state"] == "DOCUMENT_STATE_READY" for one in found.values())
    assert all(one["metadata"] == {"year": 2024.0} for one in found.values())


def test_uploading_again_makes_new_versions_of_what_has_changed(books: Cli, folder: Path) -> None:
    books.run("upload", folder, "--collection", "Books")
    (folder / "alpacas.md").write_text("Alpacas hum.")

    books.run("upload", folder, "--collection", "Books")

    assert {name: one["version"] for name, one in documents(books).items()} == {
        "alpacas.md": 2,
        "sub/volcanoes.txt": 1,
    }


def test_duplicates_are_taken_when_they_are_asked_for(books: Cli, folder: Path) -> None:
    for _ in range(2):
        books.run("upload", folder, "--collection", "Books", "--allow-duplicates")

    assert {one["version"] for one in documents(books).values()} == {2}


def test_unchanged_files_are_skipped_when_asked(books: Cli, folder: Path) -> None:
    books.run("upload", folder, "--collection", "Books")
    (folder / "alpacas.md").write_text("Alpacas hum.")

    events = books.events("upload", folder, "--collection", "Books", "--skip-unchanged")

    assert final_states(events) == {"alpacas.md": "ready", "sub/volcanoes.txt": "unchanged"}
    assert documents(books)["sub/volcanoes.txt"]["version"] == 1


def test_without_external_ids_each_content_is_a_document(books: Cli, folder: Path) -> None:
    unnamed = ("upload", folder, "--collection", "Books", "--external-id-from", "none")
    for more in ((), (), ("--allow-duplicates",)):
        books.run(*unnamed, *more)

    listed = books.json("documents", "list")["documents"]
    assert [one.get("external_id", "") for one in listed] == [""] * 4


def test_failures_are_told_with_reasons_and_their_own_exit_code(books: Cli, folder: Path) -> None:
    (folder / "empty.txt").touch()
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 20)

    events = books.events("upload", folder, "--collection", "Books", code=7)
    result = books.run("upload", folder, "--collection", "Books", code=7)

    assert final_states(events) == {
        "alpacas.md": "ready",
        "sub/volcanoes.txt": "ready",
        "empty.txt": "refused",
        "noise.bin": "failed",
    }
    assert events[-1] == {
        "event": "summary",
        "accepted": 3,
        "ready": 2,
        "unchanged": 0,
        "failed": 2,
    }
    [line] = [line for line in result.stdout.splitlines() if "noise.bin" in line]
    assert "unknown binary format" in line


def test_upload_without_waiting_ends_when_all_is_accepted(books: Cli, folder: Path) -> None:
    events = books.events("upload", folder, "--collection", "Books", "--no-wait")

    assert [event["event"] for event in events] == ["accepted", "accepted", "summary"]


def test_large_file_arrives_whole(books: Cli, tmp_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n" * 40_000
    (tmp_path / "large.txt").write_text(text)

    books.run("upload", tmp_path / "large.txt", "--collection", "Books", "--no-wait")

    assert documents(books)["large.txt"]["byte_size"] == str(len(text))


def test_unknown_collection_is_not_found_and_nothing_is_sent(books: Cli, folder: Path) -> None:
    result = books.run("upload", folder, "--collection", "Boks", code=3)

    assert "no collection is named 'Boks'" in result.stderr
    assert "minirag collection list" in result.stderr


def test_document_is_shown_and_deleted(books: Cli, folder: Path) -> None:
    books.run("upload", folder / "alpacas.md", "--collection", "Books")
    document_id = documents(books)["alpacas.md"]["id"]

    shown = books.run("documents", "show", document_id).stdout
    as_json = books.json("documents", "show", document_id)["document"]
    books.run("documents", "delete", document_id)

    assert "alpacas.md" in shown
    assert "ready" in shown
    assert as_json["id"] == document_id
    books.run("documents", "show", document_id, code=3)
    assert "No document is here yet" in books.run("documents", "list").stderr


def test_documents_are_listed_by_state_and_limit(books: Cli, folder: Path) -> None:
    (folder / "noise.bin").write_bytes(bytes(range(256)) * 20)
    books.run("upload", folder, "--collection", "Books", code=7)

    failed = books.json("documents", "list", "--state", "failed")["documents"]
    one = books.json("documents", "list", "--state", "ready,failed", "--limit", "1")["documents"]

    assert [each["display_name"] for each in failed] == ["noise.bin"]
    assert len(one) == 1


def test_document_that_failed_is_listed_by_its_reason_and_retried(
    books: Cli, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.bin"
    picture.write_bytes(bytes(range(10)) * 20)
    books.run("upload", picture, "--collection", "Books", code=7)
    failed = books.json("documents", "list", "--failure", "unsupported-format")["documents"]
    others = books.json("documents", "list", "--failure", "encrypted,no-text")["documents"]

    one = books.run("documents", "retry", failed[0]["id"]).stdout
    all_of_them = books.json("documents", "retry-failed", "--collection", "Books")

    assert [document["external_id"] for document in failed] == ["picture.bin"]
    assert others == []
    assert "is pending" in one
    assert all_of_them["retried_count"] in (0, 1)  # it may have failed again by then
    books.run("documents", "retry-failed", code=2)


def test_document_that_is_ready_is_neither_cancelled_nor_retried(books: Cli, folder: Path) -> None:
    books.run("upload", folder, "--collection", "Books")
    ready = documents(books)["alpacas.md"]["id"]

    cancelled = books.run("documents", "cancel", ready, code=5)
    retried = books.run("documents", "retry", ready, code=5)

    assert "there is nothing to cancel" in cancelled.stderr
    assert "there is nothing to retry" in retried.stderr
