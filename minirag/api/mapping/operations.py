"""Operations."""

from __future__ import annotations

from minirag_sdk.v1 import operation_service_pb2 as pb

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.operations import Operation, OperationKind, StoreCount

_SUBJECTS = {OperationKind.DELETE_TENANT: IdKind.TENANT}


def encode_operation(operation: Operation) -> pb.Operation:
    return pb.Operation(
        id=encode_id(IdKind.OPERATION, operation.id),
        type=f"OPERATION_TYPE_{operation.kind}",
        state=f"OPERATION_STATE_{operation.state}",
        subject_id=encode_id(_SUBJECTS[operation.kind], operation.subject_id),
        create_time=operation.create_time,
        start_time=operation.start_time,
        end_time=operation.end_time,
        error=operation.error,
        erased=map(_encode_count, operation.erased),
        remaining=map(_encode_count, operation.remaining),
    )


def _encode_count(count: StoreCount) -> pb.StoreCount:
    return pb.StoreCount(store=count.store, kind=count.kind, count=count.count)
