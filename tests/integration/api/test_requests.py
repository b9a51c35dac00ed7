"""What requests may say, over the wire: each wrong field is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from minirag.api.etags import encode_etag
from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from tests.integration.api.conftest import RunningServer, bearer
from tests.support.refusals import Refusal, refusal

COLLECTION = encode_id(
    IdKind.COLLECTION, UUID(int=7)
)  # parameters of tests must not vary by process
DOCUMENT = encode_id(IdKind.DOCUMENT, new_id())
TENANT = encode_id(IdKind.TENANT, new_id())
ASSISTANT_ID = new_id()
ASSISTANT = encode_id(IdKind.ASSISTANT, ASSISTANT_ID)


def with_metadata(**values: Any) -> document_pb.CreateDocumentRequest:
    request = document_pb.CreateDocumentRequest(collection_id=COLLECTION, text="Hello")
    request.metadata.update(values)
    return request


def updating(field: str, **assistant: Any) -> chat_pb.UpdateAssistantRequest:
    return chat_pb.UpdateAssistantRequest(
        assistant=chat_pb.Assistant(id=ASSISTANT, **assistant),
        update_mask=FieldMask(paths=[field]),
    )


def key_request(**values: Any) -> tenant_pb.CreateApiKeyRequest:
    return tenant_pb.CreateApiKeyRequest(
        **{"tenant_id": TENANT, "scopes": [tenant_pb.SCOPE_READ], **values}
    )


WRONG_FIELDS: dict[str, list[tuple[Any, str]]] = {
    "TenantService/CreateTenant": [
        (tenant_pb.CreateTenantRequest(slug=slug), "slug")
        for slug in ("", "a", "Acme", "acme-", "-acme", "1acme", "ac me", "äcme", "a" * 64)
    ]
    + [
        (tenant_pb.CreateTenantRequest(slug="acme", request_id="1"), "request_id"),
        (tenant_pb.CreateTenantRequest(slug="acme", request_id="0" * 32), "request_id"),
        (tenant_pb.CreateTenantRequest(slug="acme", display_name="x" * 201), "display_name"),
        (tenant_pb.CreateTenantRequest(slug="acme", display_name="a\0b"), "display_name"),
    ],
    "TenantService/ListTenants": [
        (tenant_pb.ListTenantsRequest(page_size=-1), "page_size"),
        (tenant_pb.ListTenantsRequest(page_size=1001), "page_size"),
        (tenant_pb.ListTenantsRequest(page_size=2**31 - 1), "page_size"),
        (tenant_pb.ListTenantsRequest(page_token="forged"), "page_token"),
        (tenant_pb.ListTenantsRequest(page_token="x" * 100_000), "page_token"),
        (tenant_pb.ListTenantsRequest(page_token="ü"), "page_token"),
    ],
    "TenantService/UpdateTenant": [
        (tenant_pb.UpdateTenantRequest(tenant=tenant_pb.Tenant(id=TENANT)), "update_mask"),
        (
            tenant_pb.UpdateTenantRequest(
                tenant=tenant_pb.Tenant(id=TENANT), update_mask=FieldMask(paths=["slug"])
            ),
            "update_mask",
        ),
        (
            tenant_pb.UpdateTenantRequest(
                tenant=tenant_pb.Tenant(display_name="New"),
                update_mask=FieldMask(paths=["display_name"]),
            ),
            "tenant.id",
        ),
        (
            tenant_pb.UpdateTenantRequest(
                tenant=tenant_pb.Tenant(id=TENANT), update_mask=FieldMask(paths=["state"])
            ),
            "tenant.state",
        ),
    ],
    "TenantService/CreateApiKey": [
        (key_request(tenant_id=""), "tenant_id"),
        (key_request(scopes=[]), "scopes"),
        (key_request(scopes=[tenant_pb.SCOPE_UNSPECIFIED]), "scopes"),
        (key_request(scopes=[tenant_pb.SCOPE_READ, 99]), "scopes"),
        (
            key_request(expire_time=datetime.now(UTC) - timedelta(seconds=1)),
            "expire_time",
        ),
        (key_request(expire_time=Timestamp()), "expire_time"),
        (key_request(expire_time=Timestamp(seconds=2**62)), "expire_time"),
        (key_request(expire_time=Timestamp(seconds=2**33, nanos=-5)), "expire_time"),
    ],
    "DocumentService/CreateCollection": [
        (document_pb.CreateCollectionRequest(display_name=" \n"), "display_name"),
        (document_pb.CreateCollectionRequest(display_name="x" * 201), "display_name"),
        (
            document_pb.CreateCollectionRequest(display_name="x", description="x" * 2001),
            "description",
        ),
    ],
    "DocumentService/CreateDocument": [
        (document_pb.CreateDocumentRequest(text="x"), "collection_id"),
        (document_pb.CreateDocumentRequest(collection_id=COLLECTION), "content"),
        (document_pb.CreateDocumentRequest(collection_id=COLLECTION, text=""), "text"),
        (document_pb.CreateDocumentRequest(collection_id=COLLECTION, data=b""), "data"),
        (document_pb.CreateDocumentRequest(collection_id=COLLECTION, text="a\0"), "text"),
        (with_metadata(inner={"a": 1}), "metadata"),
        (with_metadata(inner=[1, 2]), "metadata"),
        (with_metadata(inner=None), "metadata"),
        (with_metadata(number=math.nan), "metadata"),
        (with_metadata(number=-math.inf), "metadata"),
        (with_metadata(text="a\0b"), "metadata"),
        (with_metadata(text="x" * 2001), "metadata"),
        (with_metadata(**{"k" * 101: 1}), "metadata"),
        (with_metadata(**{"": 1}), "metadata"),
        (with_metadata(**{f"k{n}": n for n in range(65)}), "metadata"),
    ],
    "DocumentService/UpdateDocument": [
        (
            document_pb.UpdateDocumentRequest(
                document=document_pb.Document(id=DOCUMENT, etag=encode_etag(new_id(), 1)),
                update_mask=FieldMask(paths=["metadata"]),
            ),
            "document.etag",
        ),
        (
            document_pb.UpdateDocumentRequest(
                document=document_pb.Document(id=DOCUMENT),
                update_mask=FieldMask(paths=["display_name"]),
            ),
            "document.display_name",
        ),
    ],
    "DocumentService/GetDocumentText": [
        (
            document_pb.GetDocumentTextRequest(
                document_id=DOCUMENT, span=document_pb.TextSpan(start=start, end=end)
            ),
            field,
        )
        for start, end, field in ((-1, 0, "span.start"), (0, -1, "span.end"), (5, 4, "span.end"))
    ],
    "DocumentService/Search": [
        (document_pb.SearchRequest(), "query"),
        (document_pb.SearchRequest(query="\t "), "query"),
        (document_pb.SearchRequest(query="x" * 8001), "query"),
        *(
            (
                document_pb.SearchRequest(
                    query="x", retrieval=document_pb.RetrievalSettings(**settings)
                ),
                f"retrieval.{next(iter(settings))}",
            )
            for settings in (
                {"limit": -1},
                {"limit": 101},
                {"mode": 99},
                {"min_score": math.nan},
                {"min_score": 1.5},
            )
        ),
        (
            document_pb.SearchRequest(query="x", collection_ids=[COLLECTION] * 101),
            "collection_ids",
        ),
        (document_pb.SearchRequest(query="x", collection_ids=[""]), "collection_ids"),
    ],
    "DocumentService/DeleteCollection": [
        (
            document_pb.DeleteCollectionRequest(collection_id=COLLECTION, etag=etag),
            "etag",
        )
        for etag in ("1", "x" * 16, "ü" * 16, encode_etag(new_id(), 3))
    ],
    "ChatService/UpdateAssistant": [
        (updating("temperature", temperature=math.nan), "assistant.temperature"),
        (updating("temperature", temperature=math.inf), "assistant.temperature"),
        (updating("temperature", temperature=-0.1), "assistant.temperature"),
        (updating("max_output_tokens", max_output_tokens=-1), "assistant.max_output_tokens"),
        (updating("display_name"), "assistant.display_name"),
        (
            updating("retrieval", retrieval=document_pb.RetrievalSettings(limit=-1)),
            "assistant.retrieval.limit",
        ),
        (updating("id"), "update_mask"),
        (updating("etag", etag=encode_etag(ASSISTANT_ID, 1)), "update_mask"),
        (updating("temperature.inner"), "update_mask"),
    ],
}
CASES = [
    pytest.param(method, request_, field, id=f"{method.partition('/')[2]}-{field}-{number}")
    for method, cases in WRONG_FIELDS.items()
    for number, (request_, field) in enumerate(cases)
]


async def send(running: RunningServer, method: str, request: Any) -> Refusal:
    call = running.channel.unary_unary(f"/minirag.v1.{method}")
    platform = method.startswith("TenantService")
    metadata = running.as_platform if platform else running.as_tenant
    return await refusal(call(request.SerializeToString(), metadata=metadata))


@pytest.mark.parametrize(("method", "request_", "field"), CASES)
async def test_a_wrong_field_is_refused_by_its_name(
    running: RunningServer, method: str, request_: Any, field: str
) -> None:
    refused = await send(running, method, request_)

    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refused.violations) == [field]
    assert field in refused.message
    assert refused.info_count == 1


async def test_all_wrong_fields_are_told_at_once(running: RunningServer) -> None:
    request = tenant_pb.CreateTenantRequest(slug="?", display_name="\0", request_id="no")

    refused = await send(running, "TenantService/CreateTenant", request)

    assert set(refused.violations) == {"slug", "display_name", "request_id"}
    assert running.container.tenants.tenants == {}


@pytest.mark.parametrize(
    "wrong",
    [
        "nonsense",
        "col_",
        "col_" + "z" * 32,
        "col_" + "0" * 31,
        COLLECTION.upper(),
        COLLECTION + " ",
        COLLECTION.replace("col_", "doc_"),
        str(UUID(COLLECTION[4:])),
        "x" * 10_000,
        "col_' OR 1=1 --",
        "ü",
        "\0",
    ],
)
async def test_malformed_and_foreign_ids_are_answered_as_missing(
    running: RunningServer, wrong: str
) -> None:
    request = document_pb.GetCollectionRequest(collection_id=wrong)

    refused = await send(running, "DocumentService/GetCollection", request)

    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert refused.resource is not None
    assert refused.resource[0] == "collection"


async def test_the_other_fields_are_checked_before_an_id_is_called_missing(
    running: RunningServer,
) -> None:
    request = document_pb.CreateDocumentRequest(collection_id="nonsense", text="")

    refused = await send(running, "DocumentService/CreateDocument", request)

    assert list(refused.violations) == ["text"]


async def make_collections(running: RunningServer, count: int) -> None:
    for number in range(count):
        await running.documents.CreateCollection(
            document_pb.CreateCollectionRequest(display_name=f"Books {number}"),
            metadata=running.as_tenant,
        )


async def test_pages_follow_each_other_without_gap_or_repeat(running: RunningServer) -> None:
    await make_collections(running, 7)
    seen: list[str] = []
    token = ""
    while True:
        page = await running.documents.ListCollections(
            document_pb.ListCollectionsRequest(page_size=3, page_token=token),
            metadata=running.as_tenant,
        )
        seen += [one.display_name for one in page.collections]
        token = page.next_page_token
        if not token:
            break

    assert seen == [f"Books {number}" for number in range(7)]


Token = Callable[[str], str]


@pytest.mark.parametrize(
    "change",
    [lambda token: token[:-2], lambda token: token + "A", lambda token: "B" + token[1:]],
    ids=["cut", "longer", "changed"],
)
async def test_a_changed_page_token_is_refused(running: RunningServer, change: Token) -> None:
    await make_collections(running, 2)
    request = document_pb.ListCollectionsRequest(page_size=1)
    page = await running.documents.ListCollections(request, metadata=running.as_tenant)

    request.page_token = change(page.next_page_token)
    refused = await send(running, "DocumentService/ListCollections", request)

    assert list(refused.violations) == ["page_token"]


async def test_a_page_token_of_another_list_filter_or_tenant_is_refused(
    running: RunningServer,
) -> None:
    await make_collections(running, 2)
    stranger = "mrk_stranger"
    running.container.authenticator.contexts[stranger] = TenantContext(new_id())
    collections = document_pb.ListCollectionsRequest(page_size=1)
    token = (
        await running.documents.ListCollections(collections, metadata=running.as_tenant)
    ).next_page_token
    chunks = document_pb.ListChunksRequest(document_id=DOCUMENT, page_size=1)
    chunks_token = (
        await running.documents.ListChunks(chunks, metadata=running.as_tenant)
    ).next_page_token
    assert token
    assert chunks_token

    refusals = {
        "list": await send(
            running,
            "DocumentService/ListDocuments",
            document_pb.ListDocumentsRequest(page_token=token),
        ),
        "filter": await send(
            running,
            "DocumentService/ListChunks",
            document_pb.ListChunksRequest(
                document_id=encode_id(IdKind.DOCUMENT, new_id()), page_token=chunks_token
            ),
        ),
        "tenant": await refusal(
            running.documents.ListCollections(
                document_pb.ListCollectionsRequest(page_token=token), metadata=bearer(stranger)
            )
        ),
    }

    for refused in refusals.values():
        assert (refused.code, list(refused.violations)) == (
            StatusCode.INVALID_ARGUMENT,
            ["page_token"],
        )


async def test_the_page_size_may_change_between_pages(running: RunningServer) -> None:
    await make_collections(running, 3)
    first = await running.documents.ListCollections(
        document_pb.ListCollectionsRequest(page_size=1), metadata=running.as_tenant
    )

    rest = await running.documents.ListCollections(
        document_pb.ListCollectionsRequest(page_size=50, page_token=first.next_page_token),
        metadata=running.as_tenant,
    )

    assert [one.display_name for one in rest.collections] == ["Books 1", "Books 2"]
    assert rest.next_page_token == ""


async def test_a_stale_etag_is_a_conflict_and_the_right_one_is_not(
    running: RunningServer,
) -> None:
    made = await running.tenants.CreateTenant(
        tenant_pb.CreateTenantRequest(slug="acme"), metadata=running.as_platform
    )
    request = tenant_pb.UpdateTenantRequest(
        tenant=tenant_pb.Tenant(id=made.tenant.id, display_name="New", etag=made.tenant.etag),
        update_mask=FieldMask(paths=["display_name"]),
    )

    changed = await running.tenants.UpdateTenant(request, metadata=running.as_platform)
    refused = await send(running, "TenantService/UpdateTenant", request)

    assert changed.tenant.etag != made.tenant.etag
    assert (refused.code, refused.reason) == (StatusCode.ABORTED, "CONCURRENT_EDIT")


async def test_a_tenants_key_names_no_tenant(running: RunningServer) -> None:
    refused = await refusal(running.tenants.CreateApiKey(key_request(), metadata=running.as_tenant))

    assert list(refused.violations) == ["tenant_id"]
    assert running.container.api_keys.created == []


async def test_a_span_without_an_end_is_cut_to_a_mebibyte(running: RunningServer) -> None:
    for start, end in ((0, 0), (4, 0), (2, 10_000_000_000), (2**62, 0)):
        await running.documents.GetDocumentText(
            document_pb.GetDocumentTextRequest(
                document_id=DOCUMENT, span=document_pb.TextSpan(start=start, end=end)
            ),
            metadata=running.as_tenant,
        )

    mebibyte = 1024 * 1024
    assert running.container.documents.text_requests == [
        (0, mebibyte),
        (4, 4 + mebibyte),
        (2, 2 + mebibyte),
        (2**62, 2**62 + mebibyte),
    ]
