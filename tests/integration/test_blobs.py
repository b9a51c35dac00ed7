"""Blobs in a directory, and through a store without one, as S3 is."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from minirag.adapters.blobs import PART_BYTES, ObstoreBlobStore
from minirag.adapters.durable_files import remove_stale_files
from minirag.errors import NotFound, Unavailable
from tests.support.waiting import until

MEBIBYTE = 1024 * 1024


class ClientLeft(Exception):
    """What an upload's iterator may raise."""


@pytest.fixture(params=["directory", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreBlobStore:
    if request.param == "directory":
        return ObstoreBlobStore.in_directory(tmp_path / "blobs")
    return ObstoreBlobStore(MemoryStore())


@pytest.fixture
def local(tmp_path: Path) -> ObstoreBlobStore:
    return ObstoreBlobStore.in_directory(tmp_path / "blobs")


async def _content(*parts: bytes, fails: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if fails is not None:
        raise fails


def _files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 17])
async def test_what_is_put_is_read(blobs: ObstoreBlobStore, size: int) -> None:
    data = os.urandom(size)
    parts = [data[start : start + MEBIBYTE] for start in range(0, size, MEBIBYTE)]

    info = await blobs.put("tenant/version/source", _content(*parts))

    assert info.byte_size == size
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert await blobs.read("tenant/version/source") == data


async def test_ranges_are_half_open_and_clipped(blobs: ObstoreBlobStore) -> None:
    await blobs.put("a/text", _content(b"0123456789"))

    assert await blobs.read("a/text", 2, 5) == b"234"
    assert await blobs.read("a/text", 8, 50) == b"89"
    assert await blobs.read("a/text", 7) == b"789"
    assert await blobs.read("a/text", 10) == b""
    assert await blobs.read("a/text", 50, 60) == b""
    assert await blobs.read("a/text", 5, 2) == b""


async def test_a_second_put_replaces_the_first(blobs: ObstoreBlobStore) -> None:
    await blobs.put("a/text", _content(b"a long first version"))
    await blobs.put("a/text", _content(b"second"))

    assert await blobs.read("a/text") == b"second"


@pytest.mark.parametrize("parts", [0, 1, 12])
async def test_a_failing_upload_leaves_nothing(
    blobs: ObstoreBlobStore, tmp_path: Path, parts: int
) -> None:
    content = _content(*[bytes(MEBIBYTE)] * parts, fails=ClientLeft("half-way"))

    with pytest.raises(ClientLeft, match="half-way"):
        await blobs.put("a/source", content)

    assert await blobs.list_prefix("", limit=10) == []
    assert not (tmp_path / "blobs").exists() or _files(tmp_path / "blobs") == []


async def test_an_upload_that_fails_with_an_os_error_raises_that(blobs: ObstoreBlobStore) -> None:
    """It is the caller's own, and doesn't mean that the store is away."""
    content = _content(*[bytes(MEBIBYTE)] * 7, fails=FileNotFoundError("of the caller"))

    with pytest.raises(FileNotFoundError, match="of the caller"):
        await blobs.put("a/source", content)


async def test_a_failing_upload_keeps_what_was_there(blobs: ObstoreBlobStore) -> None:
    await blobs.put("a/source", _content(b"before"))

    with pytest.raises(ClientLeft):
        await blobs.put("a/source", _content(bytes(7 * MEBIBYTE), fails=ClientLeft()))

    assert await blobs.read("a/source") == b"before"


async def test_a_cancelled_upload_leaves_nothing(local: ObstoreBlobStore, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(2 * PART_BYTES)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(local.put("a/source", endless()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: not _files(tmp_path / "blobs"), within=2)


async def test_a_large_upload_takes_constant_memory(local: ObstoreBlobStore) -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(MEBIBYTE)

    tracemalloc.start()
    info = await local.put("a/source", large())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert info.byte_size == 200 * MEBIBYTE
    assert peak < 40 * MEBIBYTE


async def test_a_missing_blob_is_not_found(blobs: ObstoreBlobStore) -> None:
    with pytest.raises(NotFound):
        await blobs.read("a/missing")
    with pytest.raises(NotFound):
        async with blobs.open_file("a/missing"):
            pytest.fail("there is nothing to open")


async def test_a_local_blob_is_opened_in_place(local: ObstoreBlobStore, tmp_path: Path) -> None:
    await local.put("a/source", _content(b"content"))

    async with local.open_file("a/source") as path:
        assert path == tmp_path / "blobs/a/source"
        assert path.read_bytes() == b"content"


async def test_a_distant_blob_is_opened_as_a_copy_that_goes_away() -> None:
    blobs = ObstoreBlobStore(MemoryStore())
    await blobs.put("a/source", _content(b"content"))

    async with blobs.open_file("a/source") as path:
        content = path.read_bytes()

    assert content == b"content"
    assert not path.parent.exists()


async def test_deleting_a_prefix_takes_what_is_under_it_only(blobs: ObstoreBlobStore) -> None:
    for key in ("a/b/source", "a/b/text", "a/bc/source", "d/text"):
        await blobs.put(key, _content(b"x"))

    first = await blobs.delete_prefix("a/b/")
    second = await blobs.delete_prefix("a/b/")

    assert (first, second) == (2, 0)
    assert sorted(await blobs.list_prefix("", limit=10)) == ["a/bc/source", "d/text"]


async def test_a_cancelled_upload_closes_its_content_and_leaves_nothing(
    blobs: ObstoreBlobStore,
) -> None:
    is_open = asyncio.Event()
    is_closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            for _ in range(12):
                yield bytes(1024 * 1024)
            is_open.set()
            await asyncio.Event().wait()
        finally:
            is_closed.set()

    async def put() -> None:
        # As the API does: whoever made the content closes it, however the call ends.
        async with aclosing(endless()) as content:
            await blobs.put("a/cut", content)

    upload = asyncio.create_task(put())
    await asyncio.wait_for(is_open.wait(), 10)

    upload.cancel()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert is_closed.is_set()
    assert await blobs.list_prefix("a/", limit=10) == []


async def test_deleting_a_prefix_twice_at_once_leaves_nothing_and_counts_none_twice(
    local: ObstoreBlobStore,
) -> None:
    for number in range(50):
        await local.put(f"a/v{number}/source", _content(b"x"))

    counts = await asyncio.gather(local.delete_prefix("a/"), local.delete_prefix("a/"))

    assert await local.list_prefix("a/", limit=100) == []
    assert 0 < sum(counts) <= 50


async def test_listing_stops_at_its_limit(blobs: ObstoreBlobStore) -> None:
    for number in range(5):
        await blobs.put(f"a/{number}", _content(b"x"))

    assert len(await blobs.list_prefix("a/", limit=3)) == 3


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.hidden", "a b", "ä"])
async def test_keys_stay_inside_the_store(blobs: ObstoreBlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        await blobs.put(key, _content(b"x"))
    with pytest.raises(ValueError, match="not a blob key"):
        await blobs.read(key)


async def test_a_directory_that_is_gone_is_unavailable(
    local: ObstoreBlobStore, tmp_path: Path
) -> None:
    await local.ping()
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")

    with pytest.raises(Unavailable):
        await local.ping()


def test_what_a_dead_writer_left_is_removed_later(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (1, 1))

    remove_stale_files(tmp_path, older_than=3600)

    assert _files(tmp_path) == ["new"]


async def test_a_bucket_that_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    blobs = ObstoreBlobStore.at_url("s3://bucket/prefix")

    with pytest.raises(Unavailable):
        await blobs.ping()


@pytest.mark.parametrize("url", ["", "http://host/bucket", "s3://", "s3:///x", "file:///etc"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket"):
        ObstoreBlobStore.at_url(url)
