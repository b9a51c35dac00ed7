"""Optimizing a stopped node's vectors: it freezes the process for seconds, so no serving one does it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from minirag.embedded.errors import EmbeddedError
from minirag.embedded.layout import DataDirectory


def compact_vectors(data: Path) -> int:
    """Merge segments and build graphs; return how many embedding spaces changed.

    Raises `AlreadyRunning` while a node uses the directory, `EmbeddedError` when there is none in it, and
    `MiniRagError` when its vectors can't be read.
    """
    directory = DataDirectory(data.absolute())
    if not directory.vectors.is_dir():
        raise EmbeddedError(f"{data} holds no node: name its directory with --data-dir")
    with directory.lock():
        return asyncio.run(_compact(directory.vectors))


async def _compact(vectors: Path) -> int:
    from minirag.repositories.vectors.edge import EdgeVectorStore  # noqa: PLC0415  # 0.1 s to load

    store = EdgeVectorStore(vectors)
    try:
        return await store.compact()
    finally:
        await store.close()
