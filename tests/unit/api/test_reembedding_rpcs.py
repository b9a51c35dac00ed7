"""What the RPCs of re-embedding refuse, hand on, and tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.message import Message
from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1 import operation_service_pb2 as operation_pb

from minirag.api.calls import CURRENT_CALL, Call
from minirag.api.etags import encode_etag
from minirag.api.mapping.collections import encode_collection
from minirag.api.mapping.operations import encode_operation
from minirag.api.reembedding_rpcs import ReembeddingRpcs
from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.operations import Operation, OperationKind
from minirag.domain.reembedding import EmbeddingComparison, QueryComparison
from minirag.errors import InvalidRequest, NotFound
from tests.integration.postgres.more_records import make_operation
from tests.support.fake_services import make_collection

TENANT = TenantContext(UUID(int=1))
COLLECTION_ID = UUID(int=7)  # parameters of tests must not vary by process
COLLECTION = encode_id(IdKind.COLLECTION, COLLECTION_ID)
ETAG = encode_etag(COLLECTION_ID, 5)
REQUEST_ID = "0190a6f1-5e9c-4f0e-8d3c-2b1a09f8e7d6"
RPCS: dict[str, Any] = {
    "ReembedCollection": pb.ReembedCollectionRequest,
    "SwitchEmbeddings": pb.SwitchEmbeddingsRequest,
    "DiscardEmbeddings": pb.DiscardEmbeddingsRequest,
}


class FakeReembedding:
    """Notes what it is asked, and answers with one operation and one collection."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, TenantContext, UUID, dict[str, Any]]] = []
        self.operation: Operation = make_operation(
            TENANT.tenant_id, kind=OperationKind.REEMBED_COLLECTION, subject_id=COLLECTION_ID
        )
        self.collection: Collection = make_collection(TENANT.tenant_id, "Papers", "")

    async def begin(self, context: TenantContext, named: UUID, **values: Any) -> Operation:
        self.calls.append(("begin", context, named, values))
        return self.operation

    async def switch(self, context: TenantContext, named: UUID, **values: Any) -> Collection:
        self.calls.append(("switch", context, named, values))
        return self.collection

    async def discard(self, context: TenantContext, named: UUID, **values: Any) -> Operation:
        self.calls.append(("discard", context, named, values))
        return self.operation


class Rpcs(ReembeddingRpcs):
    def __init__(self, service: FakeReembedding) -> None:
        self._reembedding = service  # type: ignore[assignment]


@pytest.fixture
def service() -> FakeReembedding:
    return FakeReembedding()


@pytest.fixture(autouse=True)
def _call() -> Iterator[None]:
    token = CURRENT_CALL.set(Call("/minirag.v1.DocumentService/Some", principal=TENANT))
    yield
    CURRENT_CALL.reset(token)


async def send(service: FakeReembedding, request: Message) -> Any:
    [name] = [name for name, kind in RPCS.items() if isinstance(request, kind)]
    return await getattr(Rpcs(service), name)(request, None)


def reembed(**values: Any) -> pb.ReembedCollectionRequest:
    return pb.ReembedCollectionRequest(**{"collection_id": COLLECTION, **values})


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        *((kind(), ["collection_id"]) for kind in RPCS.values()),
        *((kind(collection_id=COLLECTION, etag="5"), ["etag"]) for kind in RPCS.values()),
        *((kind(collection_id=COLLECTION, request_id="1"), ["request_id"]) for kind in RPCS.values()),
        (reembed(etag=encode_etag(UUID(int=8), 5)), ["etag"]),
        (reembed(embedding_model="m" * 201), ["embedding_model"]),
        (reembed(embedding_model="a\0b"), ["embedding_model"]),
        (reembed(sample_queries=["q"] * 51), ["sample_queries"]),
        (reembed(sample_queries=["q", "", "\t "]), ["sample_queries[1]", "sample_queries[2]"]),
        (reembed(sample_queries=["q" * 1001]), ["sample_queries[0]"]),
        (reembed(sample_queries=["a\0b"]), ["sample_queries[0]"]),
        (
            pb.ReembedCollectionRequest(
                embedding_model="m" * 201, sample_queries=[""], request_id="1"
            ),
            ["collection_id", "embedding_model", "sample_queries[0]", "request_id"],
        ),
    ],
)  # fmt: skip
async def test_wrong_fields_are_all_named(
    service: FakeReembedding, request_: Message, fields: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await send(service, request_)

    assert [violation.field for violation in refused.value.violations] == fields
    assert service.calls == []


async def test_queries_past_the_last_that_is_allowed_are_not_told_one_by_one(
    service: FakeReembedding,
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await send(service, reembed(sample_queries=["q"] * 50 + [""] * 1000))

    assert [violation.field for violation in refused.value.violations] == ["sample_queries"]
    assert "50" in refused.value.message


@pytest.mark.parametrize("kind", RPCS.values(), ids=RPCS)
@pytest.mark.parametrize("named", ["col_1", COLLECTION.replace("col_", "doc_"), COLLECTION + "x"])
async def test_malformed_ids_are_not_found(service: FakeReembedding, kind: Any, named: str) -> None:
    with pytest.raises(NotFound) as refused:
        await send(service, kind(collection_id=named))

    assert refused.value.resource_type == "collection"
    assert service.calls == []


@pytest.mark.parametrize(
    ("given", "model"),
    [({}, None), ({"embedding_model": ""}, ""), ({"embedding_model": "m" * 200}, "m" * 200)],
    ids=["left out", "empty", "longest"],
)
async def test_model_left_out_is_another_wish_than_an_empty_one(
    service: FakeReembedding, given: dict[str, str], model: str | None
) -> None:
    await send(service, reembed(**given))

    [(_, context, named, values)] = service.calls
    assert (context, named) == (TENANT, COLLECTION_ID)
    assert values == {
        "model": model,
        "sample_queries": (),
        "switch_when_built": False,
        "if_revision": None,
        "request": None,
    }


async def test_queries_are_handed_on_in_their_order_up_to_the_longest(
    service: FakeReembedding,
) -> None:
    queries = [f"{n}" for n in range(49)] + ["q" * 1000]

    await send(service, reembed(sample_queries=queries, switch_when_built=True))

    [(_, _, _, values)] = service.calls
    assert values["sample_queries"] == tuple(queries)
    assert values["switch_when_built"] is True


@pytest.mark.parametrize("kind", RPCS.values(), ids=RPCS)
async def test_revision_and_request_are_handed_on(service: FakeReembedding, kind: Any) -> None:
    request = kind(collection_id=COLLECTION, etag=ETAG, request_id=REQUEST_ID)

    await send(service, request)
    request.request_id = str(uuid4())
    await send(service, request)

    keys = [values["request"] for _, _, _, values in service.calls]
    assert [values["if_revision"] for _, _, _, values in service.calls] == [5, 5]
    assert keys[0].request_id == UUID(REQUEST_ID)
    assert keys[0].method == "/minirag.v1.DocumentService/Some"
    assert keys[0].request_id != keys[1].request_id


async def test_each_rpc_asks_for_its_own_and_tells_what_came_of_it(
    service: FakeReembedding,
) -> None:
    answers = [await send(service, kind(collection_id=COLLECTION)) for kind in RPCS.values()]

    assert [name for name, *_ in service.calls] == ["begin", "switch", "discard"]
    told = encode_operation(service.operation)
    assert answers == [
        pb.ReembedCollectionResponse(operation=told),
        pb.SwitchEmbeddingsResponse(collection=encode_collection(service.collection)),
        pb.DiscardEmbeddingsResponse(operation=told),
    ]
    assert told.subject_id == COLLECTION


# -- encoding


def test_embeddings_that_stand_beside_are_told_with_their_operation() -> None:
    operation_id = new_id()
    collection = make_collection(TENANT.tenant_id, "Papers", "")

    building, former = (
        encode_collection(replace(collection, standby=StandbyEmbeddings(*about, operation_id)))
        for about in (("new/model", False), ("", True))
    )

    named = encode_id(IdKind.OPERATION, operation_id)
    assert building.standby == pb.StandbyEmbeddings(
        embedding_model="new/model", is_complete=False, operation_id=named
    )
    assert former.standby == pb.StandbyEmbeddings(is_complete=True, operation_id=named)
    assert former.HasField("standby")


def test_collection_with_one_kind_of_embeddings_has_none_beside() -> None:
    told = encode_collection(make_collection(TENANT.tenant_id, "Papers", ""))

    assert not told.HasField("standby")


@pytest.mark.parametrize("kind", OperationKind)
def test_every_kind_of_operation_has_its_type_in_the_contract(kind: OperationKind) -> None:
    told = encode_operation(make_operation(TENANT.tenant_id, kind=kind, subject_id=COLLECTION_ID))

    assert operation_pb.OperationType.Name(told.type) == f"OPERATION_TYPE_{kind}"
    assert told.subject_id.endswith(COLLECTION_ID.hex)
    assert not told.HasField("comparison")


def test_comparison_is_told_with_each_query_and_the_means() -> None:
    first, second, third = (UUID(int=number) for number in (1, 2, 3))
    comparison = EmbeddingComparison(
        "former/model",
        "",
        10,
        (
            QueryComparison("Which word?", (first, second), (first, third)),
            QueryComparison("Nothing?", (), ()),
        ),
    )
    operation = make_operation(
        TENANT.tenant_id, kind=OperationKind.REEMBED_COLLECTION, comparison=comparison
    )

    told = encode_operation(operation).comparison

    named = {number: encode_id(IdKind.CHUNK, UUID(int=number)) for number in (1, 2, 3)}
    assert told == operation_pb.EmbeddingComparison(
        former_model="former/model",
        new_model="",
        depth=10,
        mean_overlap=0.75,
        same_first=1.0,
        queries=[
            operation_pb.QueryComparison(
                query="Which word?",
                overlap=0.5,
                former_chunk_ids=[named[1], named[2]],
                new_chunk_ids=[named[1], named[3]],
            ),
            operation_pb.QueryComparison(query="Nothing?", overlap=1.0),
        ],
    )


def test_comparison_without_a_query_is_told_all_the_same() -> None:
    operation = make_operation(
        TENANT.tenant_id,
        kind=OperationKind.REEMBED_COLLECTION,
        comparison=EmbeddingComparison("", "new/model", 10, ()),
    )

    told = encode_operation(operation)

    assert told.HasField("comparison")
    assert (told.comparison.mean_overlap, told.comparison.same_first) == (1.0, 1.0)
