"""Chunks."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.domain.chunks import Chunk
from minirag.domain.ids import IdKind, encode_id


def encode_chunk(chunk: Chunk) -> pb.Chunk:
    return pb.Chunk(
        id=encode_id(IdKind.CHUNK, chunk.id),
        document_id=encode_id(IdKind.DOCUMENT, chunk.document_id),
        version_id=encode_id(IdKind.DOCUMENT_VERSION, chunk.version_id),
        ordinal=chunk.ordinal,
        text=chunk.text,
        span=pb.TextSpan(start=chunk.start, end=chunk.end),
        pages=encode_pages(chunk.page_first, chunk.page_last),
        heading_path=chunk.heading_path,
        token_count=chunk.token_count,
    )


def encode_pages(first: int, last: int) -> pb.PageRange | None:
    """None for a format without pages, whose page numbers are 0."""
    return pb.PageRange(first=first, last=last) if first else None
