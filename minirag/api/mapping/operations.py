"""Operations."""

from __future__ import annotations

from minirag_sdk.v1 import operation_service_pb2 as pb

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.operations import PLATFORM_ID, Operation, OperationKind, StoreCount
from minirag.domain.reembedding import EmbeddingComparison

_SUBJECTS = {
    OperationKind.DELETE_TENANT: IdKind.TENANT,
    OperationKind.DELETE_COLLECTION: IdKind.COLLECTION,
    OperationKind.PURGE_DOCUMENTS: IdKind.COLLECTION,
    OperationKind.REEMBED_COLLECTION: IdKind.COLLECTION,
    OperationKind.DISCARD_EMBEDDINGS: IdKind.COLLECTION,
    OperationKind.RECONCILE: IdKind.TENANT,
}


def encode_operation(operation: Operation) -> pb.Operation:
    return pb.Operation(
        id=encode_id(IdKind.OPERATION, operation.id),
        type=f"OPERATION_TYPE_{operation.kind}",
        state=f"OPERATION_STATE_{operation.state}",
        subject_id=_encode_subject(operation),
        create_time=operation.create_time,
        start_time=operation.start_time,
        end_time=operation.end_time,
        error=operation.error,
        erased=map(_encode_count, operation.erased),
        remaining=map(_encode_count, operation.remaining),
        done=operation.done,
        total=operation.total,
        drift=(
            pb.DriftCount(store=one.store, kind=one.kind, found=one.found, repaired=one.repaired)
            for one in operation.drift
        ),
        dry_run=operation.dry_run,
        comparison=(
            None if operation.comparison is None else _encode_comparison(operation.comparison)
        ),
    )


def _encode_subject(operation: Operation) -> str:
    if operation.subject_id == PLATFORM_ID:
        return ""
    return encode_id(_SUBJECTS[operation.kind], operation.subject_id)


def _encode_comparison(comparison: EmbeddingComparison) -> pb.EmbeddingComparison:
    return pb.EmbeddingComparison(
        former_model=comparison.former_model,
        new_model=comparison.new_model,
        depth=comparison.depth,
        mean_overlap=comparison.mean_overlap,
        same_first=comparison.same_first,
        former_error=comparison.former_error,
        queries=(
            pb.QueryComparison(
                query=one.query,
                overlap=one.overlap,
                former_chunk_ids=[encode_id(IdKind.CHUNK, each) for each in one.former],
                new_chunk_ids=[encode_id(IdKind.CHUNK, each) for each in one.new],
                sample_chunk_id=(
                    None if one.chunk_id is None else encode_id(IdKind.CHUNK, one.chunk_id)
                ),
            )
            for one in comparison.queries
        ),
    )


def _encode_count(count: StoreCount) -> pb.StoreCount:
    return pb.StoreCount(store=count.store, kind=count.kind, count=count.count)
