"""Blobs in an S3 bucket do as those in a directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from minirag.adapters.blobs import PART_BYTES, ObstoreBlobStore
from minirag.errors import NotFound, Unavailable
from tests.support.s3_server import S3Server, open_s3_server
from tests.support.waiting import until

MEBIBYTE = 1024 * 1024


class ClientLeft(Exception):
    """What an upload's iterator may raise."""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with open_s3_server() as server:
        yield server


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid4().hex}"
    server.make_bucket(name)
    return name


@pytest.fixture
def distant(bucket: str) -> ObstoreBlobStore:
    return ObstoreBlobStore.at_url(f"s3://{bucket}/some/prefix")


@pytest.fixture(params=["directory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreBlobStore:
    if request.param == "directory":
        return ObstoreBlobStore.in_directory(tmp_path / "blobs")
    store: ObstoreBlobStore = request.getfixturevalue("distant")
    return store


async def _content(*parts: bytes, fails: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if fails is not None:
        raise fails


def count_unfinished(server: S3Server, bucket: str) -> int:
    listed = server.read(f"{bucket}?uploads").raise_for_status().text
    assert "ListMultipartUploadsResult" in listed
    return listed.count("<UploadId>")


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 17])
async def test_what_is_put_is_read(blobs: ObstoreBlobStore, size: int) -> None:
    data = os.urandom(size)
    parts = [data[start : start + MEBIBYTE] for start in range(0, size, MEBIBYTE)]

    info = await blobs.put("tenant/version/source", _content(*parts))
    async with blobs.open_file("tenant/version/source") as path:
        opened = path.read_bytes()

    assert (info.byte_size, info.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert await blobs.read("tenant/version/source") == opened == data


async def test_ranges_are_half_open_and_clipped(blobs: ObstoreBlobStore) -> None:
    await blobs.put("a/text", _content(b"0123456789"))

    ranges = [(2, 5), (8, 50), (7, None), (10, None), (50, 60), (5, 2), (-3, 2)]

    read = [await blobs.read("a/text", start, end) for start, end in ranges]
    assert read == [b"234", b"89", b"789", b"", b"", b"", b"01"]


async def test_second_put_replaces_the_first(blobs: ObstoreBlobStore) -> None:
    await blobs.put("a/text", _content(b"a long first version"))
    await blobs.put("a/text", _content(b"second"))

    assert await blobs.read("a/text") == b"second"


@pytest.mark.parametrize("parts", [0, 1, 12])
async def test_upload_that_fails_leaves_nothing_and_keeps_what_was_there(
    blobs: ObstoreBlobStore, parts: int
) -> None:
    await blobs.put("a/before", _content(b"before"))
    for key in ("a/source", "a/before"):
        content = _content(*[bytes(MEBIBYTE)] * parts, fails=ClientLeft("half-way"))

        with pytest.raises(ClientLeft, match="half-way"):
            await blobs.put(key, content)

    assert await blobs.list_prefix("", limit=10) == ["a/before"]
    assert await blobs.read("a/before") == b"before"


async def test_missing_blob_is_not_found(blobs: ObstoreBlobStore) -> None:
    with pytest.raises(NotFound):
        await blobs.read("a/missing")
    with pytest.raises(NotFound):
        async with blobs.open_file("a/missing"):
            pytest.fail("there is nothing to open")


async def test_deleting_a_prefix_takes_what_is_under_it_only(blobs: ObstoreBlobStore) -> None:
    for key in ("a/b/source", "a/b/parts/1", "a/bc/source", "d/text"):
        await blobs.put(key, _content(b"x"))

    first = await blobs.delete_prefix("a/b/")
    second = await blobs.delete_prefix("a/b/")

    assert (first, second) == (2, 0)
    assert sorted(await blobs.list_prefix("", limit=10)) == ["a/bc/source", "d/text"]
    assert await blobs.list_prefix("d/", limit=10) == ["d/text"]


async def test_upload_that_is_cancelled_leaves_no_parts_in_the_bucket(
    distant: ObstoreBlobStore, bucket: str, server: S3Server
) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield bytes(MEBIBYTE)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(distant.put("a/source", endless()))
    await reached.wait()
    await until(lambda: bool(count_unfinished(server, bucket)), within=10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # Parts of an unfinished upload don't show in a listing, and are paid for.
    await until(lambda: not count_unfinished(server, bucket), within=10)
    assert await distant.list_prefix("", limit=10) == []


async def test_stores_under_different_prefixes_of_a_bucket_are_apart(
    bucket: str,
) -> None:
    whole = ObstoreBlobStore.at_url(f"s3://{bucket}")
    ours = ObstoreBlobStore.at_url(f"s3://{bucket}/ours")
    theirs = ObstoreBlobStore.at_url(f"s3://{bucket}/theirs")
    await ours.put("a/source", _content(b"ours"))
    await theirs.put("a/source", _content(b"theirs"))

    await theirs.delete_prefix("a/")

    assert await ours.read("a/source") == b"ours"
    assert await ours.list_prefix("", limit=10) == ["a/source"]
    assert await whole.list_prefix("", limit=10) == ["ours/a/source"]


async def test_server_that_is_away_is_unavailable_and_works_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_s3_server() as own:
        for name, value in own.environment.items():
            monkeypatch.setenv(name, value)
        own.make_bucket("bucket")
        blobs = ObstoreBlobStore.at_url("s3://bucket")
        await blobs.put("a/source", _content(b"x"))

        own.stop()
        with pytest.raises(Unavailable):
            await blobs.ping()
        own.start()
        own.make_bucket("bucket")

        await blobs.put("a/source", _content(b"after"))
        assert await blobs.read("a/source") == b"after"


async def test_bucket_that_is_not_there_is_unavailable(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    blobs = ObstoreBlobStore.at_url("s3://never-made")

    with pytest.raises(Unavailable):
        await blobs.ping()
    with pytest.raises(Unavailable):
        await blobs.put("a/source", _content(b"x"))
