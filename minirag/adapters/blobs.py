"""Blobs in a local directory or an S3 bucket, through obstore.

A local blob is written under `.incoming`, synchronised to the disk, renamed, and its directories are
synchronised: it is whole or absent, and survives a power cut once `put` returned. S3 shows an object when
it is complete, and says so when it is durable.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from minirag.adapters.durable_files import publish_file, remove_stale_files
from minirag.domain.drift import BlobEntry
from minirag.errors import NotFound, Unavailable
from minirag.services.ports.files import BlobInfo

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 takes; shorter blobs are one request."""
PARTS_AT_ONCE = 2
KEYS_AT_ONCE = 1000
REQUEST_SECONDS = timedelta(seconds=30)
RETRY_SECONDS = timedelta(seconds=10)
STALE_SECONDS = 24 * 3600
ABORT_SECONDS = 5.0
"""How long a store may take to throw a broken upload away."""

_INCOMING = ".incoming"
# No part begins with a dot: that excludes `..`, hidden files, and what is still coming in.
_KEY = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", re.ASCII)


class ObstoreBlobStore:
    """Implements `BlobStore`. Made by `in_directory` or `at_url`."""

    def __init__(self, store: ObjectStore, directory: Path | None = None) -> None:
        self._store = store
        self._directory = directory

    @classmethod
    def in_directory(cls, directory: Path) -> ObstoreBlobStore:
        """Keep blobs as files under `directory`, which is made if need be, for its owner's eyes only.

        Raises `Unavailable` when it can't be used.
        """
        directory = directory.absolute()
        with _failures("the blob directory"):
            (directory / _INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_stale_files(directory / _INCOMING, older_than=STALE_SECONDS)
            return cls(LocalStore(prefix=directory, automatic_cleanup=True), directory)

    @classmethod
    def at_url(cls, url: str) -> ObstoreBlobStore:
        """Keep blobs under `s3://bucket/prefix`, with credentials and endpoint from `AWS_*` variables.

        Raises `ValueError` for any other URL.
        """
        if not re.fullmatch(r"s3://[\w.-]+(/[\w./-]*)?", url, re.ASCII):
            raise ValueError("the blob URL must be s3://bucket or s3://bucket/prefix")
        allow_http = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        return cls(
            S3Store.from_url(
                url,
                client_options={"timeout": REQUEST_SECONDS, "allow_http": allow_http},
                retry_config={"max_retries": 3, "retry_timeout": RETRY_SECONDS},
            )
        )

    async def put(self, key: str, content: AsyncIterator[bytes]) -> BlobInfo:
        """Store all of `content`, holding a few parts of it in memory; durable when it returns.

        When the iterator raises, nothing is left and the exception passes through; the same when the call
        is cancelled.
        """
        _check_key(key)
        counted = _Counted(content)
        first = await counted.read(PART_BYTES)
        target = key if self._directory is None else f"{_INCOMING}/{uuid4().hex}"
        try:
            with _failures("the blob store"):
                if counted.is_exhausted:
                    await obstore.put_async(self._store, target, first, use_multipart=False)
                else:
                    await self._put_parts(target, first, counted)
                if self._directory is not None:
                    await asyncio.to_thread(
                        publish_file,
                        self._directory / target,
                        self._directory / key,
                        self._directory,
                    )
        except Unavailable:
            if counted.error is not None:
                raise counted.error from None
            raise
        finally:
            if self._directory is not None:
                (self._directory / target).unlink(missing_ok=True)
        return BlobInfo(counted.byte_size, counted.sha256)

    async def _put_parts(self, target: str, first: bytes, counted: _Counted) -> None:
        """Store what is longer than one part; what ends the content early ends the upload, too."""
        feed = _Feed()
        storing = asyncio.ensure_future(
            obstore.put_async(
                self._store,
                target,
                feed,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        )
        part: bytes | None = first
        try:
            while part is not None and not storing.done():
                if part:
                    await feed.send(part, storing)
                part = await counted.next()
            await feed.send(None, storing)
            await storing
        except BaseException:
            feed.break_off()
            await asyncio.wait([storing], timeout=ABORT_SECONDS)
            storing.cancel()
            raise

    async def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes start..end (half-open, clipped). Raises `NotFound` when there is no such blob."""
        _check_key(key)
        with _failures("the blob store", key):
            size = (await obstore.head_async(self._store, key))["size"]
            start = min(max(start, 0), size)
            end = size if end is None else min(max(end, start), size)
            if start == end:  # stores refuse an empty range
                return b""
            part = await obstore.get_range_async(self._store, key, start=start, end=end)
            return bytes(part)

    @asynccontextmanager
    async def open_file(self, key: str) -> AsyncIterator[Path]:
        """The blob's own file when it is local, else a copy for as long as the block runs."""
        _check_key(key)
        if self._directory is not None:
            path = self._directory / key
            if not await asyncio.to_thread(path.is_file):
                raise NotFound("blob", key)
            yield path
            return
        copies = await asyncio.to_thread(tempfile.mkdtemp, prefix="minirag-")
        try:
            path = Path(copies, "blob")
            await self._download(key, path)
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, copies, ignore_errors=True)

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob under `prefix` (which ends in `/`); return how many, as the port says."""
        _check_prefix(prefix)
        count = 0
        with _failures("the blob store"):
            async for keys in self._keys(prefix, KEYS_AT_ONCE):
                count += await self._delete(keys)
        return count

    async def list_prefix(self, prefix: str, *, limit: int) -> list[str]:
        """Up to `limit` keys under `prefix`, which ends in `/` or is empty for all."""
        if prefix:
            _check_prefix(prefix)
        found: list[str] = []
        with _failures("the blob store"):
            async for keys in self._keys(prefix, min(max(limit, 1), KEYS_AT_ONCE)):
                found += keys
                if len(found) >= limit:
                    break
        return found[:limit]

    async def scan_prefix(self, prefix: str) -> AsyncIterator[list[BlobEntry]]:
        """Every blob under `prefix`, up to `KEYS_AT_ONCE` at a time."""
        _check_prefix(prefix)
        with _failures("the blob store"):
            async for found in obstore.list(self._store, prefix, chunk_size=KEYS_AT_ONCE):
                yield [
                    BlobEntry(each["path"], each["size"], each["last_modified"]) for each in found
                ]

    async def ping(self) -> None:
        """Raises `Unavailable` when blobs can't be kept now."""
        with _failures("the blob store"):
            if self._directory is None:
                await anext(aiter(self._keys("", 1)), None)
            elif not await asyncio.to_thread(os.access, self._directory, os.R_OK | os.W_OK):
                raise PermissionError(str(self._directory))

    async def _keys(self, prefix: str, chunk_size: int) -> AsyncIterator[list[str]]:
        stream = obstore.list(self._store, prefix or None, chunk_size=chunk_size)
        async for found in stream:
            yield [each["path"] for each in found if not each["path"].startswith(f"{_INCOMING}/")]

    async def _download(self, key: str, path: Path) -> None:
        with _failures("the blob store", key), path.open("wb") as file:
            found = await obstore.get_async(self._store, key)
            async for part in found.stream(PART_BYTES):
                await asyncio.to_thread(file.write, part)

    async def _delete(self, keys: list[str]) -> int:
        """Delete them, together if possible; return how many were still there."""
        try:
            if keys:
                await obstore.delete_async(self._store, keys)
        except FileNotFoundError:  # somebody else deletes the same ones: local files say so
            removed = 0
            for key in keys:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)
                    removed += 1
            return removed
        return len(keys)


class _Feed:
    """What the store reads, on a task of its own, of what is sent on ours.

    Handed the content itself, the store would go on reading it when our task is cancelled, and nobody
    could close it.
    """

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes | OSError | None] = asyncio.Queue(maxsize=1)

    def __aiter__(self) -> _Feed:
        return self

    async def __anext__(self) -> bytes:
        part = await self._parts.get()
        if part is None:
            raise StopAsyncIteration
        if isinstance(part, OSError):
            raise part
        return part

    async def send(self, part: bytes | None, reader: asyncio.Future[Any]) -> None:
        """Wait until there is room for the part (None is the end), or its reader has failed."""
        putting = asyncio.ensure_future(self._parts.put(part))
        try:
            await asyncio.wait([putting, reader], return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()

    def break_off(self) -> None:
        """Have the reader throw away what it was sent."""
        while not self._parts.empty():
            self._parts.get_nowait()
        self._parts.put_nowait(BrokenPipeError("the content ended early"))


class _Counted:
    """Passes content on, counting and hashing it, and remembers the exception that ended it."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self._hash = hashlib.sha256()
        self.byte_size = 0
        self.is_exhausted = False
        self.error: Exception | None = None

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def read(self, at_least: int) -> bytes:
        """Return `at_least` bytes or a little more, or all that there is."""
        parts: list[bytes] = []
        while self.byte_size < at_least:
            part = await self.next()
            if part is None:
                break
            parts.append(part)
        return b"".join(parts)

    async def next(self) -> bytes | None:
        """Return the next part, or None at the end."""
        try:
            part = await anext(self._content)
        except StopAsyncIteration:
            self.is_exhausted = True
            return None
        except Exception as error:
            self.error = error
            raise
        self.byte_size += len(part)
        self._hash.update(part)
        return part


@contextmanager
def _failures(what: str, key: str = "") -> Iterator[None]:
    """Say it in this application's errors."""
    try:
        yield
    except FileNotFoundError as error:
        if key:
            raise NotFound("blob", key) from error
        raise Unavailable(f"{what} can't be reached: check it, then retry") from error
    except (BaseError, OSError) as error:
        raise Unavailable(
            f"{what} can't be used now: check its space and access, then retry"
        ) from error


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a blob key: {key!r}")


def _check_prefix(prefix: str) -> None:
    if not prefix.endswith("/") or not _KEY.fullmatch(prefix[:-1]):
        raise ValueError(f"not a prefix of blob keys that ends in '/': {prefix!r}")
