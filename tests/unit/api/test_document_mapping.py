"""Collections' sizes of chunks, and documents' time left, as the contract tells them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.mapping.chunk_sizes import decode_chunk_sizes, encode_chunk_sizes
from minirag.api.mapping.documents import encode_document
from minirag.api.validation import RequestCheck
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import DocumentState, DocumentVersion, Failure, FailureCode
from minirag.domain.ids import new_id
from minirag.errors import InvalidRequest
from tests.integration.postgres.records import make_document


@pytest.mark.parametrize("sizes", [ChunkSizes(16), ChunkSizes(8192, 1024), ChunkSizes(100, 99)])
def test_sizes_are_read_as_they_are_told(sizes: ChunkSizes) -> None:
    with RequestCheck() as check:
        read = decode_chunk_sizes(check, "chunking", encode_chunk_sizes(sizes))

    assert read == sizes


@pytest.mark.parametrize(
    ("tokens", "overlap", "field"),
    [
        (0, 0, "chunking.max_tokens"),
        (15, 0, "chunking.max_tokens"),
        (8193, 0, "chunking.max_tokens"),
        (100, 100, "chunking.overlap_tokens"),
        (8192, 1025, "chunking.overlap_tokens"),
        (100, -1, "chunking.overlap_tokens"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_the_field(
    tokens: int, overlap: int, field: str
) -> None:
    wanted = pb.ChunkingSettings(max_tokens=tokens, overlap_tokens=overlap)

    with pytest.raises(InvalidRequest) as refused, RequestCheck() as check:
        decode_chunk_sizes(check, "chunking", wanted)

    assert [violation.field for violation in refused.value.violations] == [field]


def _encode(**changes: object) -> pb.Document:
    document = make_document(new_id(), new_id())
    version: DocumentVersion = replace(
        document.version,
        state=DocumentState.EMBEDDING,
        chunk_count=100,
        chunks_indexed=20,
        indexed_ahead=(30, 50),
        chunks_per_second=4.0,
    )
    return encode_document(replace(document, version=replace(version, **changes)))


def test_time_left_counts_the_chunks_that_are_not_indexed() -> None:
    assert _encode().time_left.ToTimedelta().total_seconds() == 15.0


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks_per_second": None},
        {"state": DocumentState.READY},
        {"state": DocumentState.PENDING},
        {"failure": Failure(FailureCode.QUOTA_EXCEEDED, "waits")},
    ],
)
def test_time_left_is_unset_where_nobody_knows_it(changes: dict[str, object]) -> None:
    assert not _encode(**changes).HasField("time_left")


def test_very_long_times_are_told_as_a_year() -> None:
    assert _encode(chunks_per_second=1e-12).time_left.seconds == 365 * 86_400


def test_document_that_is_being_cut_tells_how_far_that_is() -> None:
    encoded = _encode(state=DocumentState.PARSING, chunks_found=70, text_bytes_cut=4000)

    assert (encoded.chunks_found, encoded.text_bytes_cut) == (70, 4000)
