"""DocumentService: collections, documents and search; each aggregate's RPCs in a module of their own."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceServicer

from minirag.api.batch_rpcs import BatchRpcs
from minirag.api.calls import ServicerContext, current_tenant
from minirag.api.collection_rpcs import CollectionRpcs
from minirag.api.deadlines import time_left
from minirag.api.document_rpcs import DocumentRpcs
from minirag.api.mapping.retrieval import RETRIEVAL_MODES, decode_retrieval, encode_result
from minirag.api.purge_rpcs import PurgeRpcs
from minirag.api.reembedding_rpcs import ReembeddingRpcs
from minirag.api.rerun_rpcs import RerunRpcs
from minirag.api.resumable_upload_rpcs import ResumableUploadRpcs
from minirag.api.resume_tokens import read_revision
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.accepting import DocumentIntake
from minirag.services.collections import CollectionService
from minirag.services.documents import DocumentService
from minirag.services.freshness import RevisionWaiter
from minirag.services.purging import PurgeService
from minirag.services.reembedding import ReembeddingService
from minirag.services.reruns import DocumentRuns
from minirag.services.retrieval import Retriever
from minirag.services.uploads import UploadService
from minirag.services.watching import DocumentWatcher

MAX_QUERY = 8000
MAX_COLLECTIONS = 100


class DocumentServicer(
    CollectionRpcs,
    BatchRpcs,
    ResumableUploadRpcs,
    RerunRpcs,
    PurgeRpcs,
    ReembeddingRpcs,
    DocumentRpcs,
    DocumentServiceServicer,
):
    def __init__(
        self,
        collections: CollectionService,
        documents: DocumentService,
        intake: DocumentIntake,
        uploads: UploadService,
        runs: DocumentRuns,
        purges: PurgeService,
        reembedding: ReembeddingService,
        watcher: DocumentWatcher,
        retriever: Retriever,
        revisions: RevisionWaiter,
        *,
        max_document_bytes: int,
    ) -> None:
        self._collections = collections
        self._documents = documents
        self._intake = intake
        self._uploads = uploads
        self._runs = runs
        self._purges = purges
        self._reembedding = reembedding
        self._watcher = watcher
        self._retriever = retriever
        self._revisions = revisions
        self._max_document_bytes = max_document_bytes

    async def Search(
        self, request: pb.SearchRequest, context: ServicerContext
    ) -> pb.SearchResponse:
        with RequestCheck() as check:
            query = check.required_text("query", request.query, longest=MAX_QUERY)
            collection_ids = check.ids(
                "collection_ids", IdKind.COLLECTION, request.collection_ids, most=MAX_COLLECTIONS
            )
            settings = decode_retrieval(check, "retrieval", request.retrieval)
            revision = read_revision(check, "min_revision", request.min_revision)
        if revision is not None:
            await self._revisions.wait(current_tenant(), revision, timeout=time_left(context))
        outcome = await self._retriever.search(
            current_tenant(),
            query,
            collection_ids=collection_ids,
            settings=settings,
            timeout=time_left(context),
        )
        return pb.SearchResponse(
            results=[encode_result(result) for result in outcome.results],
            mode_used=RETRIEVAL_MODES[outcome.mode_used],
        )
