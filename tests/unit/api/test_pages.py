"""Pages end early when their items are large."""

from __future__ import annotations

from uuid import UUID

import pytest
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import CURRENT_CALL, Call
from minirag.api.mapping.chunks import encode_chunk
from minirag.api.pages import LARGEST_ORDINAL, PAGE_BYTES, PageQuery, read_ordinal_page
from minirag.api.validation import RequestCheck
from minirag.domain.access import TenantContext
from minirag.errors import InvalidRequest
from minirag.services.paging import Page
from tests.support.fake_services import make_chunk

METHOD = "/minirag.v1.DocumentService/ListChunks"


def read(**fields: object) -> PageQuery[int]:
    CURRENT_CALL.set(Call(METHOD, principal=TenantContext(UUID(int=5))))
    with RequestCheck() as check:
        return read_ordinal_page(check, pb.ListChunksRequest(document_id="doc_1", **fields))


def large(ordinal: int) -> pb.Chunk:
    return pb.Chunk(ordinal=ordinal, text="x" * (PAGE_BYTES // 2))


def test_a_page_of_large_items_is_cut_and_continues_after_its_last_one() -> None:
    page = Page(tuple(make_chunk(ordinal) for ordinal in range(4)), 3)
    response = pb.ListChunksResponse()

    token = read().fill(
        page, response.chunks, lambda chunk: large(chunk.ordinal), lambda chunk: chunk.ordinal
    )

    assert [chunk.ordinal for chunk in response.chunks] == [0]
    assert read(page_token=token).after == 0


def test_an_item_larger_than_a_page_is_sent_alone() -> None:
    page = Page((make_chunk(0), make_chunk(1)), None)
    response = pb.ListChunksResponse()

    token = read().fill(
        page,
        response.chunks,
        lambda chunk: pb.Chunk(text="x" * (PAGE_BYTES + 1)),
        lambda chunk: chunk.ordinal,
    )

    assert len(response.chunks) == 1
    assert read(page_token=token).after == 0


def test_the_last_page_has_no_token() -> None:
    page = Page((make_chunk(0),), None)

    token = read().fill(
        page, pb.ListChunksResponse().chunks, encode_chunk, lambda chunk: chunk.ordinal
    )

    assert token == ""


def test_a_token_continues_with_another_page_size() -> None:
    page = Page((make_chunk(0), make_chunk(1)), 1)
    token = read(page_size=2).fill(
        page, pb.ListChunksResponse().chunks, encode_chunk, lambda chunk: chunk.ordinal
    )

    assert read(page_size=7, page_token=token).after == 1


def test_a_made_up_token_beyond_what_the_database_holds_is_refused() -> None:
    page = Page((make_chunk(0),), LARGEST_ORDINAL + 1)
    token = read().fill(
        page, pb.ListChunksResponse().chunks, encode_chunk, lambda chunk: chunk.ordinal
    )

    with pytest.raises(InvalidRequest, match="page_token"):
        read(page_token=token)
