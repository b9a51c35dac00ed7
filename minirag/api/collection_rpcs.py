"""The collections' part of DocumentService."""

from __future__ import annotations

from typing import Literal

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.chunk_sizes import decode_chunk_sizes
from minirag.api.mapping.collections import encode_collection
from minirag.api.mapping.operations import encode_operation
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.chunks import ChunkSizes
from minirag.domain.ids import IdKind
from minirag.services.collections import CollectionService

MAX_NAME = 200
MAX_DESCRIPTION = 2000


class CollectionRpcs:
    _collections: CollectionService

    async def CreateCollection(
        self, request: pb.CreateCollectionRequest, context: ServicerContext
    ) -> pb.CreateCollectionResponse:
        with RequestCheck() as check:
            name = check.required_text("display_name", request.display_name, longest=MAX_NAME)
            description = check.text("description", request.description, longest=MAX_DESCRIPTION)
            sizes = None
            if request.HasField("chunking"):
                sizes = decode_chunk_sizes(check, "chunking", request.chunking)
            request_id = check.request_id("request_id", request.request_id)
        collection = await self._collections.create(
            current_tenant(),
            display_name=name,
            description=description,
            chunk_sizes=sizes,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateCollectionResponse(collection=encode_collection(collection))

    async def GetCollection(
        self, request: pb.GetCollectionRequest, context: ServicerContext
    ) -> pb.GetCollectionResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
        collection = await self._collections.get(current_tenant(), collection_id)
        return pb.GetCollectionResponse(collection=encode_collection(collection))

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: ServicerContext
    ) -> pb.ListCollectionsResponse:
        with RequestCheck() as check:
            query = read_id_page(check, request)
        page = await self._collections.list_page(
            current_tenant(), after=query.after, limit=query.limit
        )
        response = pb.ListCollectionsResponse()
        response.next_page_token = query.fill(
            page, response.collections, encode_collection, lambda collection: collection.id
        )
        return response

    async def UpdateCollection(
        self, request: pb.UpdateCollectionRequest, context: ServicerContext
    ) -> pb.UpdateCollectionResponse:
        wanted = request.collection
        name = description = None
        sizes: ChunkSizes | Literal["default"] | None = None
        with RequestCheck() as check:
            collection_id = check.id("collection.id", IdKind.COLLECTION, wanted.id)
            fields = check.update_mask(
                request.update_mask, ("display_name", "description", "chunking")
            )
            if "display_name" in fields:
                name = check.required_text(
                    "collection.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "description" in fields:
                description = check.text(
                    "collection.description", wanted.description, longest=MAX_DESCRIPTION
                )
            if "chunking" in fields:
                sizes = "default"
                if wanted.HasField("chunking"):
                    sizes = decode_chunk_sizes(check, "collection.chunking", wanted.chunking)
            revision = check.etag("collection.etag", collection_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        collection = await self._collections.update(
            current_tenant(),
            collection_id,
            display_name=name,
            description=description,
            chunk_sizes=sizes,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateCollectionResponse(collection=encode_collection(collection))

    async def DeleteCollection(
        self, request: pb.DeleteCollectionRequest, context: ServicerContext
    ) -> pb.DeleteCollectionResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
            revision = check.etag("etag", collection_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        operation = await self._collections.delete(
            current_tenant(),
            collection_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteCollectionResponse(operation=encode_operation(operation))
