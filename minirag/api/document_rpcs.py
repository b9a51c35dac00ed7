"""The documents' part of DocumentService: reading, changing, watching and deleting them."""

from __future__ import annotations

from contextlib import aclosing

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.chunks import encode_chunk
from minirag.api.mapping.documents import (
    FAILURE_CODES_BY_NUMBER,
    STATES_BY_NUMBER,
    encode_document,
)
from minirag.api.mapping.metadata import decode_metadata
from minirag.api.pages import read_id_page, read_ordinal_page
from minirag.api.request_keys import request_key
from minirag.api.resume_tokens import (
    encode_resume_token,
    encode_revision_token,
    read_position,
    watch_scope,
)
from minirag.api.upload_rpcs import MAX_NAME
from minirag.api.validation import RequestCheck
from minirag.domain.changes import RevisionMark
from minirag.domain.documents import DocumentFilter
from minirag.domain.ids import IdKind, encode_id
from minirag.services.documents import DocumentService
from minirag.services.watching import DocumentChanged, DocumentGone, DocumentWatcher, WatchEvent

MAX_TEXT_BYTES = 1024 * 1024
MAX_WATCHED = 1000


class DocumentRpcs:
    _documents: DocumentService
    _watcher: DocumentWatcher

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: ServicerContext
    ) -> pb.GetDocumentResponse:
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
        document = await self._documents.get(current_tenant(), document_id)
        return pb.GetDocumentResponse(document=encode_document(document))

    async def GetDocumentText(
        self, request: pb.GetDocumentTextRequest, context: ServicerContext
    ) -> pb.GetDocumentTextResponse:
        start, end = request.span.start, request.span.end
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
            version_id = check.optional_id(
                "version_id", IdKind.DOCUMENT_VERSION, request.version_id
            )
            if start < 0:
                check.refuse("span.start", "must not be negative")
            if end < 0 or 0 < end < start:
                check.refuse("span.end", "must not lie before the start; 0 means to the end")
        most = start + MAX_TEXT_BYTES
        part = await self._documents.read_text(
            current_tenant(),
            document_id,
            version_id=version_id,
            start=start,
            end=min(end, most) if end else most,
        )
        return pb.GetDocumentTextResponse(
            text=part.text,
            span=pb.TextSpan(start=part.start, end=part.end),
            total_bytes=part.total_bytes,
            version_id=encode_id(IdKind.DOCUMENT_VERSION, part.version_id),
        )

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: ServicerContext
    ) -> pb.ListDocumentsResponse:
        with RequestCheck() as check:
            wanted = DocumentFilter(
                collection_id=check.optional_id(
                    "collection_id", IdKind.COLLECTION, request.collection_id
                ),
                states=check.choices("states", request.states, STATES_BY_NUMBER),
                external_id=check.text("external_id", request.external_id, longest=MAX_NAME),
                failure_codes=check.choices(
                    "failure_codes", request.failure_codes, FAILURE_CODES_BY_NUMBER
                ),
            )
            query = read_id_page(check, request)
        page = await self._documents.list_page(
            current_tenant(), wanted, after=query.after, limit=query.limit
        )
        response = pb.ListDocumentsResponse()
        response.next_page_token = query.fill(
            page, response.documents, encode_document, lambda document: document.id
        )
        return response

    async def UpdateDocument(
        self, request: pb.UpdateDocumentRequest, context: ServicerContext
    ) -> pb.UpdateDocumentResponse:
        wanted = request.document
        name = metadata = None
        with RequestCheck() as check:
            document_id = check.id("document.id", IdKind.DOCUMENT, wanted.id)
            fields = check.update_mask(request.update_mask, ("display_name", "metadata"))
            if "display_name" in fields:
                name = check.required_text(
                    "document.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "metadata" in fields:
                metadata = decode_metadata(check, "document.metadata", wanted.metadata)
            revision = check.etag("document.etag", document_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        document = await self._documents.update(
            current_tenant(),
            document_id,
            display_name=name,
            metadata=metadata,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateDocumentResponse(document=encode_document(document))

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, context: ServicerContext
    ) -> pb.DeleteDocumentResponse:
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
            revision = check.etag("etag", document_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._documents.delete(
            current_tenant(),
            document_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        # Any version: it stands for there being none.
        gone = RevisionMark(document_id, 0)
        token = encode_revision_token(current_tenant().tenant_id, gone)
        return pb.DeleteDocumentResponse(revision_token=token)

    async def WatchDocuments(
        self, request: pb.WatchDocumentsRequest, context: ServicerContext
    ) -> None:
        with RequestCheck() as check:
            wanted = DocumentFilter(
                collection_id=check.optional_id(
                    "collection_id", IdKind.COLLECTION, request.collection_id
                ),
                document_ids=check.ids(
                    "document_ids", IdKind.DOCUMENT, request.document_ids, most=MAX_WATCHED
                ),
            )
            scope = watch_scope(current_tenant(), wanted)
            position = read_position(check, "resume_token", scope, request.resume_token)
        events = self._watcher.watch(
            current_tenant(), wanted, until_final=request.until_final, position=position
        )
        sequence = 0
        async with aclosing(events):
            async for event in events:
                sequence += 1
                await context.write(_encode_watch_event(sequence, event, scope))

    async def ListChunks(
        self, request: pb.ListChunksRequest, context: ServicerContext
    ) -> pb.ListChunksResponse:
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
            query = read_ordinal_page(check, request)
        page = await self._documents.list_chunks(
            current_tenant(),
            document_id,
            after_ordinal=-1 if query.after is None else query.after,
            limit=query.limit,
        )
        response = pb.ListChunksResponse()
        response.next_page_token = query.fill(
            page, response.chunks, encode_chunk, lambda chunk: chunk.ordinal
        )
        return response


def _encode_watch_event(
    sequence: int, event: WatchEvent, scope: bytes
) -> pb.WatchDocumentsResponse:
    response = pb.WatchDocumentsResponse(sequence=sequence)
    if event.position is not None:
        response.resume_token = encode_resume_token(scope, event.position)
    if isinstance(event, DocumentChanged):
        response.document.CopyFrom(encode_document(event.document))
    elif isinstance(event, DocumentGone):
        response.deleted_document_id = encode_id(IdKind.DOCUMENT, event.document_id)
    else:
        response.snapshot_end.document_count = event.document_count
        response.snapshot_end.SetInParent()
    return response
