"""What SourceService refuses before it does anything."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from minirag_sdk.v1 import source_service_pb2 as pb
from minirag_sdk.v1 import source_service_pb2_grpc as source_grpc

from minirag.domain.ids import IdKind, encode_id, new_id
from tests.integration.api.conftest import RunningServer
from tests.support.refusals import refusal

SOURCE = encode_id(IdKind.SOURCE, new_id())
COLLECTION = encode_id(IdKind.COLLECTION, new_id())
URL = "https://docs.example.com/"


def create(**values: Any) -> pb.CreateSourceRequest:
    given = {"collection_id": COLLECTION, "kind": pb.SOURCE_KIND_PAGE, "url": URL, **values}
    return pb.CreateSourceRequest(**given)


def update(*fields: str, **values: Any) -> pb.UpdateSourceRequest:
    source = pb.Source(id=SOURCE, **values)
    return pb.UpdateSourceRequest(source=source, update_mask=FieldMask(paths=fields))


def metadata(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("CreateSource", pb.CreateSourceRequest(), ["collection_id", "kind", "url"]),
        ("CreateSource", create(kind=99), ["kind"]),
        ("CreateSource", create(url="h" * 2001, display_name="n" * 201), ["url", "display_name"]),
        ("CreateSource", create(refresh_minutes=4), ["refresh_minutes"]),
        ("CreateSource", create(refresh_minutes=-1, max_pages=-1), ["refresh_minutes", "max_pages"]),
        ("CreateSource", create(refresh_minutes=525_601), ["refresh_minutes"]),
        ("CreateSource", create(allowed_hosts=["a"] * 51), ["allowed_hosts"]),
        ("CreateSource", create(allowed_hosts=[" "]), ["allowed_hosts"]),
        ("CreateSource", create(metadata=metadata(url="mine")), ["metadata"]),
        ("CreateSource", create(metadata=metadata(**{f"k{n}": n for n in range(61)})), ["metadata"]),
        ("CreateSource", create(request_id="1"), ["request_id"]),
        ("UpdateSource", update(), ["update_mask"]),
        ("UpdateSource", update("kind"), ["update_mask"]),
        ("UpdateSource", update("state", "url"), ["update_mask", "source.url"]),
        ("UpdateSource", update("keep_missing", etag="old"), ["source.etag"]),
        ("UpdateSource", update("refresh_minutes", refresh_minutes=1), ["source.refresh_minutes"]),
        ("DeleteSource", pb.DeleteSourceRequest(), ["source_id"]),
        ("RefreshSource", pb.RefreshSourceRequest(source_id=SOURCE, request_id="x"), ["request_id"]),
        (
            "ListSourcePages",
            pb.ListSourcePagesRequest(source_id=SOURCE, states=[0, 77], page_size=1001),  # type: ignore[list-item]
            ["states", "page_size"],
        ),
    ],
)  # fmt: skip
async def test_wrong_fields_are_all_named(
    running: RunningServer, method: str, request_: Message, fields: list[str]
) -> None:
    stub = source_grpc.SourceServiceStub(running.channel)

    refused = await refusal(getattr(stub, method)(request_, metadata=running.as_tenant))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.violations) == fields


async def test_malformed_ids_are_not_found(running: RunningServer) -> None:
    stub = source_grpc.SourceServiceStub(running.channel)

    for call, request in (
        (stub.GetSource, pb.GetSourceRequest(source_id="src_1")),
        (stub.RefreshSource, pb.RefreshSourceRequest(source_id=COLLECTION)),
        (stub.ListSources, pb.ListSourcesRequest(collection_id=SOURCE)),
        (stub.CreateSource, create(collection_id="col_1")),
    ):
        refused = await refusal(call(request, metadata=running.as_tenant))
        assert refused.code is grpc.StatusCode.NOT_FOUND
