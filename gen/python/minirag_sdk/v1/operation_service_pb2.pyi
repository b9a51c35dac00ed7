import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OperationType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_TYPE_UNSPECIFIED: _ClassVar[OperationType]
    OPERATION_TYPE_DELETE_TENANT: _ClassVar[OperationType]
    OPERATION_TYPE_DELETE_COLLECTION: _ClassVar[OperationType]
    OPERATION_TYPE_PURGE_DOCUMENTS: _ClassVar[OperationType]
    OPERATION_TYPE_RECONCILE: _ClassVar[OperationType]
    OPERATION_TYPE_REEMBED_COLLECTION: _ClassVar[OperationType]
    OPERATION_TYPE_DISCARD_EMBEDDINGS: _ClassVar[OperationType]

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_STATE_UNSPECIFIED: _ClassVar[OperationState]
    OPERATION_STATE_PENDING: _ClassVar[OperationState]
    OPERATION_STATE_RUNNING: _ClassVar[OperationState]
    OPERATION_STATE_SUCCEEDED: _ClassVar[OperationState]
    OPERATION_STATE_FAILED: _ClassVar[OperationState]
    OPERATION_STATE_CANCELLED: _ClassVar[OperationState]
OPERATION_TYPE_UNSPECIFIED: OperationType
OPERATION_TYPE_DELETE_TENANT: OperationType
OPERATION_TYPE_DELETE_COLLECTION: OperationType
OPERATION_TYPE_PURGE_DOCUMENTS: OperationType
OPERATION_TYPE_RECONCILE: OperationType
OPERATION_TYPE_REEMBED_COLLECTION: OperationType
OPERATION_TYPE_DISCARD_EMBEDDINGS: OperationType
OPERATION_STATE_UNSPECIFIED: OperationState
OPERATION_STATE_PENDING: OperationState
OPERATION_STATE_RUNNING: OperationState
OPERATION_STATE_SUCCEEDED: OperationState
OPERATION_STATE_FAILED: OperationState
OPERATION_STATE_CANCELLED: OperationState

class Operation(_message.Message):
    __slots__ = ("id", "type", "state", "subject_id", "create_time", "start_time", "end_time", "error", "erased", "remaining", "done", "total", "drift", "dry_run", "comparison")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: OperationType
    state: OperationState
    subject_id: str
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    error: str
    erased: _containers.RepeatedCompositeFieldContainer[StoreCount]
    remaining: _containers.RepeatedCompositeFieldContainer[StoreCount]
    done: int
    total: int
    drift: _containers.RepeatedCompositeFieldContainer[DriftCount]
    dry_run: bool
    comparison: EmbeddingComparison
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[OperationType, str]] = ..., state: _Optional[_Union[OperationState, str]] = ..., subject_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., erased: _Optional[_Iterable[_Union[StoreCount, _Mapping]]] = ..., remaining: _Optional[_Iterable[_Union[StoreCount, _Mapping]]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., drift: _Optional[_Iterable[_Union[DriftCount, _Mapping]]] = ..., dry_run: _Optional[bool] = ..., comparison: _Optional[_Union[EmbeddingComparison, _Mapping]] = ...) -> None: ...

class EmbeddingComparison(_message.Message):
    __slots__ = ("former_model", "new_model", "depth", "mean_overlap", "same_first", "queries", "former_error")
    FORMER_MODEL_FIELD_NUMBER: _ClassVar[int]
    NEW_MODEL_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    MEAN_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    SAME_FIRST_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    FORMER_ERROR_FIELD_NUMBER: _ClassVar[int]
    former_model: str
    new_model: str
    depth: int
    mean_overlap: float
    same_first: float
    queries: _containers.RepeatedCompositeFieldContainer[QueryComparison]
    former_error: str
    def __init__(self, former_model: _Optional[str] = ..., new_model: _Optional[str] = ..., depth: _Optional[int] = ..., mean_overlap: _Optional[float] = ..., same_first: _Optional[float] = ..., queries: _Optional[_Iterable[_Union[QueryComparison, _Mapping]]] = ..., former_error: _Optional[str] = ...) -> None: ...

class QueryComparison(_message.Message):
    __slots__ = ("query", "overlap", "former_chunk_ids", "new_chunk_ids", "sample_chunk_id")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    FORMER_CHUNK_IDS_FIELD_NUMBER: _ClassVar[int]
    NEW_CHUNK_IDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    query: str
    overlap: float
    former_chunk_ids: _containers.RepeatedScalarFieldContainer[str]
    new_chunk_ids: _containers.RepeatedScalarFieldContainer[str]
    sample_chunk_id: str
    def __init__(self, query: _Optional[str] = ..., overlap: _Optional[float] = ..., former_chunk_ids: _Optional[_Iterable[str]] = ..., new_chunk_ids: _Optional[_Iterable[str]] = ..., sample_chunk_id: _Optional[str] = ...) -> None: ...

class DriftCount(_message.Message):
    __slots__ = ("store", "kind", "found", "repaired")
    STORE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    store: str
    kind: str
    found: int
    repaired: int
    def __init__(self, store: _Optional[str] = ..., kind: _Optional[str] = ..., found: _Optional[int] = ..., repaired: _Optional[int] = ...) -> None: ...

class StoreCount(_message.Message):
    __slots__ = ("store", "kind", "count")
    STORE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    store: str
    kind: str
    count: int
    def __init__(self, store: _Optional[str] = ..., kind: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("operation_id",)
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    def __init__(self, operation_id: _Optional[str] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class ListOperationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOperationsResponse(_message.Message):
    __slots__ = ("operations", "next_page_token")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    next_page_token: str
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WaitOperationRequest(_message.Message):
    __slots__ = ("operation_id",)
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    def __init__(self, operation_id: _Optional[str] = ...) -> None: ...

class WaitOperationResponse(_message.Message):
    __slots__ = ("sequence", "operation")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    operation: Operation
    def __init__(self, sequence: _Optional[int] = ..., operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ("operation_id", "request_id")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    request_id: str
    def __init__(self, operation_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("tenant_id", "dry_run", "request_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    dry_run: bool
    request_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., dry_run: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...
