"""The re-embedding part of DocumentService."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.collections import encode_collection
from minirag.api.mapping.operations import encode_operation
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.reembedding import ReembeddingService

MAX_MODEL = 200
MAX_QUERIES = 50
MAX_QUERY = 1000


class ReembeddingRpcs:
    _reembedding: ReembeddingService

    async def ReembedCollection(
        self, request: pb.ReembedCollectionRequest, context: ServicerContext
    ) -> pb.ReembedCollectionResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
            model = None
            if request.HasField("embedding_model"):
                model = check.text("embedding_model", request.embedding_model, longest=MAX_MODEL)
            if len(request.sample_queries) > MAX_QUERIES:
                check.refuse("sample_queries", f"must hold at most {MAX_QUERIES} queries")
            queries = tuple(
                check.required_text(f"sample_queries[{place}]", query, longest=MAX_QUERY)
                for place, query in enumerate(request.sample_queries[:MAX_QUERIES])
            )
            revision = check.etag("etag", collection_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        operation = await self._reembedding.begin(
            current_tenant(),
            collection_id,
            model=model,
            sample_queries=queries,
            switch_when_built=request.switch_when_built,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.ReembedCollectionResponse(operation=encode_operation(operation))

    async def SwitchEmbeddings(
        self, request: pb.SwitchEmbeddingsRequest, context: ServicerContext
    ) -> pb.SwitchEmbeddingsResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
            revision = check.etag("etag", collection_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        collection = await self._reembedding.switch(
            current_tenant(),
            collection_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.SwitchEmbeddingsResponse(collection=encode_collection(collection))

    async def DiscardEmbeddings(
        self, request: pb.DiscardEmbeddingsRequest, context: ServicerContext
    ) -> pb.DiscardEmbeddingsResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
            revision = check.etag("etag", collection_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        operation = await self._reembedding.discard(
            current_tenant(),
            collection_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DiscardEmbeddingsResponse(operation=encode_operation(operation))
