"""The isolation table's entries of SourceService."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import source_service_pb2 as pb

from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Unread

ENTRIES = {
    "SourceService/CreateSource": Entry(
        lambda e: pb.CreateSourceRequest(
            collection_id=e.ids["scratch"],
            kind=pb.SOURCE_KIND_PAGE,
            url=f"{e.hook_url}/nothing-here",
            display_name=e.name("Made"),
        ),
        {"collection_id": Names("collection"), "request_id": RequestId()},
    ),
    "SourceService/GetSource": Entry(
        lambda e: pb.GetSourceRequest(source_id=e.ids["source"]), {"source_id": Names("source")}
    ),
    "SourceService/ListSources": Entry(
        lambda e: pb.ListSourcesRequest(collection_id=e.ids["scratch"], page_size=1),
        {"collection_id": Names("collection"), "page_token": PageToken()},
    ),
    "SourceService/UpdateSource": Entry(
        lambda e: pb.UpdateSourceRequest(
            source=pb.Source(id=e.ids["source"], display_name=e.name("Renamed")),
            update_mask=FieldMask(paths=["display_name"]),
        ),
        {
            "source.id": Names("source"),
            "source.collection_id": Unread("collection"),
            "source.etag": Etag("source.id", "source"),
            "request_id": RequestId(),
        },
    ),
    "SourceService/DeleteSource": Entry(
        lambda e: pb.DeleteSourceRequest(source_id=e.ids["source"], delete_documents=True),
        {
            "source_id": Names("source"),
            "etag": Etag("source_id", "source"),
            "request_id": RequestId(),
        },
        uses={"source_id": "source"},
    ),
    "SourceService/RefreshSource": Entry(
        lambda e: pb.RefreshSourceRequest(source_id=e.ids["source"]),
        {"source_id": Names("source"), "request_id": RequestId()},
    ),
    "SourceService/ListSourcePages": Entry(
        lambda e: pb.ListSourcePagesRequest(source_id=e.ids["source"], page_size=1),
        {"source_id": Names("source"), "page_token": PageToken()},
    ),
}
