"""Sizes of chunks as they stand in two columns: both NULL, or neither."""

from __future__ import annotations

from minirag.domain.chunks import ChunkSizes


def encode_sizes(sizes: ChunkSizes | None) -> dict[str, int | None]:
    return {
        "chunk_tokens": None if sizes is None else sizes.max_tokens,
        "chunk_overlap_tokens": None if sizes is None else sizes.overlap_tokens,
    }


def decode_sizes(max_tokens: int | None, overlap_tokens: int | None) -> ChunkSizes | None:
    return None if max_tokens is None else ChunkSizes(max_tokens, overlap_tokens or 0)
