"""Taking many small documents in at once: CreateDocuments."""

from __future__ import annotations

from google.rpc import error_details_pb2 as details_pb2  # type: ignore[import-untyped]  # no stubs
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.interceptors.failures import describe_failure
from minirag.api.upload_rpcs import UploadRpcs
from minirag.api.validation import RequestCheck
from minirag.errors import Unavailable

MAX_ITEMS = 100


class BatchRpcs(UploadRpcs):
    async def CreateDocuments(
        self, request: pb.CreateDocumentsRequest, context: ServicerContext
    ) -> pb.CreateDocumentsResponse:
        count = len(request.documents)
        with RequestCheck() as check:
            if not 1 <= count <= MAX_ITEMS:
                check.refuse("documents", f"must hold 1 to {MAX_ITEMS} documents, holds {count}")
        results: list[pb.CreateDocumentsResult] = []
        away: Unavailable | None = None
        for item in request.documents:
            # While a store is away each further document would take as long to be refused.
            outcome = _refuse(away) if away is not None else None
            if outcome is None:
                try:
                    outcome = await self._create_one(item)
                except Unavailable as error:
                    away, outcome = error, _refuse(error)
                except Exception as error:  # a fault with one harms no other
                    outcome = _refuse(error)
            results.append(outcome)
        return pb.CreateDocumentsResponse(results=results)

    async def _create_one(self, item: pb.CreateDocumentRequest) -> pb.CreateDocumentsResult:
        accepted = await self.create(item)
        return pb.CreateDocumentsResult(
            document=accepted.document, already_existed=accepted.already_existed
        )


def _refuse(error: Exception) -> pb.CreateDocumentsResult:
    status = describe_failure(current_call(), error)
    info = details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    told = pb.ItemError(code=status.code, reason=info.reason, message=status.message)
    return pb.CreateDocumentsResult(error=told)
