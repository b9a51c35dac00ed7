"""Retrieved passages for tests of prompts and citations."""

from __future__ import annotations

from uuid import uuid4

from minirag.domain.chunks import Chunk
from minirag.domain.ids import chunk_id
from minirag.domain.retrieval import RetrievedChunk


def make_passage(
    text: str,
    *,
    start: int = 0,
    document_name: str = "Manual",
    page: int = 0,
    page_starts: tuple[int, ...] = (),
    heading_path: tuple[str, ...] = (),
) -> RetrievedChunk:
    """A passage whose text begins at byte `start` of its document."""
    version_id = uuid4()
    chunk = Chunk(
        id=chunk_id(version_id, 0),
        version_id=version_id,
        document_id=uuid4(),
        collection_id=uuid4(),
        ordinal=0,
        text=text,
        start=start,
        end=start + len(text.encode()),
        token_count=1,
        page_first=page,
        page_last=page + len(page_starts),
        page_starts=page_starts,
        heading_path=heading_path,
    )
    return RetrievedChunk(chunk, document_name, 1.0)
