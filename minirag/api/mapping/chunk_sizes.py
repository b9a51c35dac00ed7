"""How a collection's documents are cut."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.validation import RequestCheck
from minirag.domain.chunks import ChunkSizes

LEAST_TOKENS = 16
MOST_TOKENS = 8192
MOST_OVERLAP = 1024


def encode_chunk_sizes(sizes: ChunkSizes) -> pb.ChunkingSettings:
    return pb.ChunkingSettings(max_tokens=sizes.max_tokens, overlap_tokens=sizes.overlap_tokens)


def decode_chunk_sizes(check: RequestCheck, path: str, wanted: pb.ChunkingSettings) -> ChunkSizes:
    most = check.integer(
        f"{path}.max_tokens", wanted.max_tokens, least=LEAST_TOKENS, most=MOST_TOKENS
    )
    overlap = check.integer(
        f"{path}.overlap_tokens",
        wanted.overlap_tokens,
        least=0,
        most=min(MOST_OVERLAP, max(most - 1, 0)),
    )
    return ChunkSizes(most, overlap)
