"""Vectors in this process: Qdrant Edge, the default on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import UUID

from minirag.domain.documents import Metadata
from minirag.domain.drift import StoredPoint
from minirag.domain.retrieval import (
    EmbeddingSpace,
    SparseVector,
    VectorFilter,
    VectorHit,
    VectorPoint,
)
from minirag.errors import FailedPrecondition, Unavailable
from minirag.repositories.vectors import points as stored
from minirag.repositories.vectors.edge_shard import FLUSH_EVERY, Shard

P = ParamSpec("P")
R = TypeVar("R")
Listed = TypeVar("Listed", VectorHit, StoredPoint)

UPSERT_SLICE = 8
"""Points per call: 0.4 ms, in which no other Python code runs."""
ID_SLICE = 128
"""Points deleted, changed or listed per call."""
FLUSH_DELAY = 2.0
"""Seconds after which written points are flushed even if no more follow."""

_SPACE_NAME = re.compile(r"[a-z0-9_-]+")


class EdgeVectorStore:
    """One directory per embedding space, opened at once, by one process only.

    Opening blocks (0.4 s for 20,000 points), so do it before serving. A write that returned
    survives the process being killed; a power failure may take the last `FLUSH_DELAY` seconds.
    Raises `FailedPrecondition` when another process has the directory open, `Unavailable` when
    what is in it can't be read.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = _lock(path)
        # Writes to all spaces come from one thread: the engine holds the GIL, so that more of them
        # would only take turns, and a search would have to wait for each.
        self._writer = ThreadPoolExecutor(1, "vectors-write")
        self._reader = ThreadPoolExecutor(2, "vectors-read")
        self._flush_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._shards: dict[str, Shard] = {}
        try:
            for directory in sorted(path.iterdir()):
                if directory.is_dir() and _SPACE_NAME.fullmatch(directory.name):
                    self._shards[directory.name] = _load(directory)
        except BaseException:
            self._release()
            raise

    async def ensure_space(self, space: EmbeddingSpace) -> None:
        await self._opened(space)

    async def upsert(
        self, tenant_id: UUID, space: EmbeddingSpace, points: Sequence[VectorPoint]
    ) -> None:
        stored.require_fit(space, points)
        if not points:
            return
        shard = await self._opened(space)
        for start in range(0, len(points), UPSERT_SLICE):
            await self._write(shard.upsert, tenant_id, points[start : start + UPSERT_SLICE])
            await self._flush_when_due(shard)

    async def search_lexical(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: SparseVector,
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        shard = self._known(space)
        if shard is None or not query.indices or limit < 1:
            return []
        return await self._read(shard.search_lexical, tenant_id, query, where, limit)

    async def search_dense(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: Sequence[float],
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        stored.require_length(space, query)
        shard = self._known(space)
        if shard is None or limit < 1:
            return []
        return await self._read(shard.search_dense, tenant_id, query, where, limit)

    async def set_metadata(
        self, tenant_id: UUID, space: EmbeddingSpace, document_id: UUID, metadata: Metadata
    ) -> None:
        shard = self._known(space)
        if shard is None:
            return
        where = VectorFilter(document_ids=(document_id,))
        async for chunk_ids in self._id_slices(shard, tenant_id, where):
            await self._write(shard.set_metadata, chunk_ids, metadata)
            await self._flush_when_due(shard)

    async def delete(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> None:
        shard = self._known(space)
        if shard is None:
            return
        async for chunk_ids in self._id_slices(shard, tenant_id, where):
            await self._write(shard.delete, chunk_ids)
            await self._flush_when_due(shard)

    async def count(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> int:
        shard = self._known(space)
        return 0 if shard is None else await self._read(shard.count, tenant_id, where)

    async def list_points(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[VectorHit]:
        shard = self._known(space)
        return [] if shard is None else await self._list(shard.page, tenant_id, where, after, limit)

    async def scan(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[StoredPoint]:
        shard = self._known(space)
        return (
            [] if shard is None else await self._list(shard.points, tenant_id, where, after, limit)
        )

    async def _list(
        self,
        read_page: Callable[[UUID, VectorFilter, UUID | None, int], list[Listed]],
        tenant_id: UUID,
        where: VectorFilter,
        after: UUID | None,
        limit: int,
    ) -> list[Listed]:
        """Read up to `limit` points past `after`, slice by slice."""
        found: list[Listed] = []
        while len(found) < limit:
            start = stored.following(after) if after else None
            if after and start is None:
                break
            size = min(ID_SLICE, limit - len(found))
            page = await self._read(read_page, tenant_id, where, start, size)
            found += page
            if len(page) < size:
                break
            after = page[-1].chunk_id
        return found

    async def ping(self) -> None:
        if not await self._read(self._path.is_dir):
            raise Unavailable("the vector store's directory is gone; bring it back and retry")

    async def count_all(self) -> int:
        """How many points the directory holds: its size, and nothing of anyone's. Not part of the port."""
        return sum([await self._read(shard.size) for shard in tuple(self._shards.values())])

    async def compact(self) -> int:
        """Optimize every space and return how many changed. Only with nothing else going on:
        the process stands still meanwhile (8 s for 20,000 points)."""
        changed = 0
        for shard in tuple(self._shards.values()):
            changed += await self._write(shard.optimize)
        return changed

    async def close(self) -> None:
        """Flush and give the directory free. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._release)

    def _release(self) -> None:
        self._closed = True
        self._reader.shutdown()
        self._writer.shutdown()
        for shard in self._shards.values():
            # What couldn't be flushed is in the write-ahead log, and read again at the next start.
            with contextlib.suppress(Exception):
                shard.close()
        os.close(self._lock)

    async def _opened(self, space: EmbeddingSpace) -> Shard:
        known = self._known(space)
        return known if known is not None else await self._write(self._open, space)

    def _open(self, space: EmbeddingSpace) -> Shard:
        """Runs on the writer's thread, where two calls for the same new space come in turn."""
        if space.name not in self._shards:
            self._shards[space.name] = Shard.create(self._path / space.name, space)
        return self._shards[space.name]

    def _known(self, space: EmbeddingSpace) -> Shard | None:
        if not _SPACE_NAME.fullmatch(space.name):
            raise ValueError(f"{space.name!r} can't name a space; use a-z, 0-9, _ and -")
        return self._shards.get(space.name)

    async def _id_slices(
        self, shard: Shard, tenant_id: UUID, where: VectorFilter
    ) -> AsyncIterator[list[UUID]]:
        """Yield the ids of the matching points; those yielded may be deleted meanwhile."""
        start: UUID | None = None
        while True:
            page = await self._read(shard.page, tenant_id, where, start, ID_SLICE)
            if page:
                yield [each.chunk_id for each in page]
            start = stored.following(page[-1].chunk_id) if len(page) == ID_SLICE else None
            if start is None:
                return

    async def _flush_when_due(self, shard: Shard) -> None:
        if shard.unflushed >= FLUSH_EVERY:
            await self._write(shard.flush)
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_DELAY, self._flush_soon)

    def _flush_soon(self) -> None:
        self._flush_timer = None
        if not self._closed:
            self._writer.submit(self._flush_all)

    def _flush_all(self) -> None:
        for shard in tuple(self._shards.values()):
            # A full disk shows in the next write, which has somebody to tell.
            with contextlib.suppress(Exception):
                shard.flush()

    async def _read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(self._reader, call, *args, **kwargs)

    async def _write(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(self._writer, call, *args, **kwargs)

    async def _run(
        self, pool: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self._closed:
            raise Unavailable("the vector store is closed, as the server is stopping; retry later")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, lambda: _translated(call, *args, **kwargs))


def _translated(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return call(*args, **kwargs)
    except (TypeError, ValueError):
        raise  # a caller's fault, which no retry mends
    except Exception as error:
        # The engine has no exception classes of its own: everything is a bare `Exception`.
        raise Unavailable("the vector store can't be used just now; retry in a moment") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the Rust bindings, which don't export it
            raise
        raise Unavailable("the vector store failed; retry in a moment") from error


def _load(directory: Path) -> Shard:
    try:
        return _translated(Shard.load, directory)
    except Unavailable as error:
        raise Unavailable(
            f"the vectors in {directory} can't be read ({error.__cause__}); restore the directory,"
            " or remove it and index its documents again"
        ) from error


def _lock(path: Path) -> int:
    """Take the directory for this process. The kernel gives it free when the process ends."""
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise FailedPrecondition(
            f"the vectors in {path} are in use by process {holder}; stop it first,"
            " or set MINIRAG_QDRANT_URL to share a Qdrant server"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock
