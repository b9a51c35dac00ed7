"""The part of DocumentService that stops documents on their way and takes up those that ended."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.documents import FAILURE_CODES_BY_NUMBER, encode_document
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.reruns import DocumentRuns


class RerunRpcs:
    _runs: DocumentRuns

    async def CancelDocument(
        self, request: pb.CancelDocumentRequest, context: ServicerContext
    ) -> pb.CancelDocumentResponse:
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
            request_id = check.request_id("request_id", request.request_id)
        document = await self._runs.cancel(
            current_tenant(),
            document_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CancelDocumentResponse(document=encode_document(document))

    async def RetryDocument(
        self, request: pb.RetryDocumentRequest, context: ServicerContext
    ) -> pb.RetryDocumentResponse:
        with RequestCheck() as check:
            document_id = check.id("document_id", IdKind.DOCUMENT, request.document_id)
            request_id = check.request_id("request_id", request.request_id)
        document = await self._runs.retry(
            current_tenant(),
            document_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.RetryDocumentResponse(document=encode_document(document))

    async def RetryFailed(
        self, request: pb.RetryFailedRequest, context: ServicerContext
    ) -> pb.RetryFailedResponse:
        with RequestCheck() as check:
            collection_id = check.optional_id(
                "collection_id", IdKind.COLLECTION, request.collection_id
            )
            codes = check.choices("failure_codes", request.failure_codes, FAILURE_CODES_BY_NUMBER)
            request_id = check.request_id("request_id", request.request_id)
            key = request_key(current_call().method, request, request_id)
            # Each page is a request of its own, and its token one of the same list.
            request.ClearField("request_id")
            query = read_id_page(check, request)
        done = await self._runs.retry_failed(
            current_tenant(),
            collection_id=collection_id,
            failure_codes=codes,
            after=query.after,
            limit=query.limit,
            request=key,
        )
        return pb.RetryFailedResponse(
            retried_count=done.retried, next_page_token=query.token(done.next_after)
        )
