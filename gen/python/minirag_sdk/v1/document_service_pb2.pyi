import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from minirag_sdk.v1 import operation_service_pb2 as _operation_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DocumentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOCUMENT_STATE_UNSPECIFIED: _ClassVar[DocumentState]
    DOCUMENT_STATE_PENDING: _ClassVar[DocumentState]
    DOCUMENT_STATE_PARSING: _ClassVar[DocumentState]
    DOCUMENT_STATE_EMBEDDING: _ClassVar[DocumentState]
    DOCUMENT_STATE_READY: _ClassVar[DocumentState]
    DOCUMENT_STATE_FAILED: _ClassVar[DocumentState]
    DOCUMENT_STATE_CANCELLED: _ClassVar[DocumentState]

class FailureCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_CODE_UNSPECIFIED: _ClassVar[FailureCode]
    FAILURE_CODE_EMPTY: _ClassVar[FailureCode]
    FAILURE_CODE_UNSUPPORTED_FORMAT: _ClassVar[FailureCode]
    FAILURE_CODE_CORRUPT: _ClassVar[FailureCode]
    FAILURE_CODE_ENCRYPTED: _ClassVar[FailureCode]
    FAILURE_CODE_NO_TEXT: _ClassVar[FailureCode]
    FAILURE_CODE_TOO_LARGE: _ClassVar[FailureCode]
    FAILURE_CODE_PARSER_LIMIT: _ClassVar[FailureCode]
    FAILURE_CODE_PARSER_CRASH: _ClassVar[FailureCode]
    FAILURE_CODE_EMBEDDING_REJECTED: _ClassVar[FailureCode]
    FAILURE_CODE_RETRIES_EXHAUSTED: _ClassVar[FailureCode]
    FAILURE_CODE_INTERNAL: _ClassVar[FailureCode]
    FAILURE_CODE_QUOTA_EXCEEDED: _ClassVar[FailureCode]

class RetrievalMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRIEVAL_MODE_UNSPECIFIED: _ClassVar[RetrievalMode]
    RETRIEVAL_MODE_HYBRID: _ClassVar[RetrievalMode]
    RETRIEVAL_MODE_LEXICAL: _ClassVar[RetrievalMode]
    RETRIEVAL_MODE_DENSE: _ClassVar[RetrievalMode]
DOCUMENT_STATE_UNSPECIFIED: DocumentState
DOCUMENT_STATE_PENDING: DocumentState
DOCUMENT_STATE_PARSING: DocumentState
DOCUMENT_STATE_EMBEDDING: DocumentState
DOCUMENT_STATE_READY: DocumentState
DOCUMENT_STATE_FAILED: DocumentState
DOCUMENT_STATE_CANCELLED: DocumentState
FAILURE_CODE_UNSPECIFIED: FailureCode
FAILURE_CODE_EMPTY: FailureCode
FAILURE_CODE_UNSUPPORTED_FORMAT: FailureCode
FAILURE_CODE_CORRUPT: FailureCode
FAILURE_CODE_ENCRYPTED: FailureCode
FAILURE_CODE_NO_TEXT: FailureCode
FAILURE_CODE_TOO_LARGE: FailureCode
FAILURE_CODE_PARSER_LIMIT: FailureCode
FAILURE_CODE_PARSER_CRASH: FailureCode
FAILURE_CODE_EMBEDDING_REJECTED: FailureCode
FAILURE_CODE_RETRIES_EXHAUSTED: FailureCode
FAILURE_CODE_INTERNAL: FailureCode
FAILURE_CODE_QUOTA_EXCEEDED: FailureCode
RETRIEVAL_MODE_UNSPECIFIED: RetrievalMode
RETRIEVAL_MODE_HYBRID: RetrievalMode
RETRIEVAL_MODE_LEXICAL: RetrievalMode
RETRIEVAL_MODE_DENSE: RetrievalMode

class Collection(_message.Message):
    __slots__ = ("id", "display_name", "description", "embedding_model", "document_count", "create_time", "update_time", "etag", "chunking", "standby")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CHUNKING_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    description: str
    embedding_model: str
    document_count: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    chunking: ChunkingSettings
    standby: StandbyEmbeddings
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., embedding_model: _Optional[str] = ..., document_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., chunking: _Optional[_Union[ChunkingSettings, _Mapping]] = ..., standby: _Optional[_Union[StandbyEmbeddings, _Mapping]] = ...) -> None: ...

class StandbyEmbeddings(_message.Message):
    __slots__ = ("embedding_model", "is_complete", "operation_id")
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    embedding_model: str
    is_complete: bool
    operation_id: str
    def __init__(self, embedding_model: _Optional[str] = ..., is_complete: _Optional[bool] = ..., operation_id: _Optional[str] = ...) -> None: ...

class ChunkingSettings(_message.Message):
    __slots__ = ("max_tokens", "overlap_tokens")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    overlap_tokens: int
    def __init__(self, max_tokens: _Optional[int] = ..., overlap_tokens: _Optional[int] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("id", "collection_id", "external_id", "display_name", "metadata", "state", "failure", "version_id", "version", "published_version_id", "media_type", "file_name", "byte_size", "sha256", "text_bytes", "page_count", "chunk_count", "chunks_indexed", "create_time", "update_time", "etag", "revision_token", "time_left", "chunks_found", "text_bytes_cut")
    ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_INDEXED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REVISION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FOUND_FIELD_NUMBER: _ClassVar[int]
    TEXT_BYTES_CUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    collection_id: str
    external_id: str
    display_name: str
    metadata: _struct_pb2.Struct
    state: DocumentState
    failure: DocumentFailure
    version_id: str
    version: int
    published_version_id: str
    media_type: str
    file_name: str
    byte_size: int
    sha256: str
    text_bytes: int
    page_count: int
    chunk_count: int
    chunks_indexed: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    revision_token: str
    time_left: _duration_pb2.Duration
    chunks_found: int
    text_bytes_cut: int
    def __init__(self, id: _Optional[str] = ..., collection_id: _Optional[str] = ..., external_id: _Optional[str] = ..., display_name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., state: _Optional[_Union[DocumentState, str]] = ..., failure: _Optional[_Union[DocumentFailure, _Mapping]] = ..., version_id: _Optional[str] = ..., version: _Optional[int] = ..., published_version_id: _Optional[str] = ..., media_type: _Optional[str] = ..., file_name: _Optional[str] = ..., byte_size: _Optional[int] = ..., sha256: _Optional[str] = ..., text_bytes: _Optional[int] = ..., page_count: _Optional[int] = ..., chunk_count: _Optional[int] = ..., chunks_indexed: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., revision_token: _Optional[str] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., chunks_found: _Optional[int] = ..., text_bytes_cut: _Optional[int] = ...) -> None: ...

class DocumentFailure(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: FailureCode
    reason: str
    def __init__(self, code: _Optional[_Union[FailureCode, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("id", "document_id", "version_id", "ordinal", "text", "span", "pages", "heading_path", "token_count")
    ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    HEADING_PATH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    document_id: str
    version_id: str
    ordinal: int
    text: str
    span: TextSpan
    pages: PageRange
    heading_path: _containers.RepeatedScalarFieldContainer[str]
    token_count: int
    def __init__(self, id: _Optional[str] = ..., document_id: _Optional[str] = ..., version_id: _Optional[str] = ..., ordinal: _Optional[int] = ..., text: _Optional[str] = ..., span: _Optional[_Union[TextSpan, _Mapping]] = ..., pages: _Optional[_Union[PageRange, _Mapping]] = ..., heading_path: _Optional[_Iterable[str]] = ..., token_count: _Optional[int] = ...) -> None: ...

class TextSpan(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class PageRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class RetrievalSettings(_message.Message):
    __slots__ = ("limit", "mode", "min_score", "metadata")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    limit: int
    mode: RetrievalMode
    min_score: float
    metadata: _struct_pb2.Struct
    def __init__(self, limit: _Optional[int] = ..., mode: _Optional[_Union[RetrievalMode, str]] = ..., min_score: _Optional[float] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("chunk", "collection_id", "document_display_name", "score", "lexical", "dense")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LEXICAL_FIELD_NUMBER: _ClassVar[int]
    DENSE_FIELD_NUMBER: _ClassVar[int]
    chunk: Chunk
    collection_id: str
    document_display_name: str
    score: float
    lexical: LegScore
    dense: LegScore
    def __init__(self, chunk: _Optional[_Union[Chunk, _Mapping]] = ..., collection_id: _Optional[str] = ..., document_display_name: _Optional[str] = ..., score: _Optional[float] = ..., lexical: _Optional[_Union[LegScore, _Mapping]] = ..., dense: _Optional[_Union[LegScore, _Mapping]] = ...) -> None: ...

class LegScore(_message.Message):
    __slots__ = ("rank", "score")
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    rank: int
    score: float
    def __init__(self, rank: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("display_name", "description", "request_id", "chunking")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNKING_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    description: str
    request_id: str
    chunking: ChunkingSettings
    def __init__(self, display_name: _Optional[str] = ..., description: _Optional[str] = ..., request_id: _Optional[str] = ..., chunking: _Optional[_Union[ChunkingSettings, _Mapping]] = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("collection_id",)
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    def __init__(self, collection_id: _Optional[str] = ...) -> None: ...

class GetCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    next_page_token: str
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateCollectionRequest(_message.Message):
    __slots__ = ("collection", "update_mask", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("collection_id", "etag", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    etag: str
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_service_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_service_pb2.Operation, _Mapping]] = ...) -> None: ...

class ReembedCollectionRequest(_message.Message):
    __slots__ = ("collection_id", "embedding_model", "sample_queries", "switch_when_built", "etag", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_QUERIES_FIELD_NUMBER: _ClassVar[int]
    SWITCH_WHEN_BUILT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    embedding_model: str
    sample_queries: _containers.RepeatedScalarFieldContainer[str]
    switch_when_built: bool
    etag: str
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., embedding_model: _Optional[str] = ..., sample_queries: _Optional[_Iterable[str]] = ..., switch_when_built: _Optional[bool] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReembedCollectionResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_service_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_service_pb2.Operation, _Mapping]] = ...) -> None: ...

class SwitchEmbeddingsRequest(_message.Message):
    __slots__ = ("collection_id", "etag", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    etag: str
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SwitchEmbeddingsResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class DiscardEmbeddingsRequest(_message.Message):
    __slots__ = ("collection_id", "etag", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    etag: str
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DiscardEmbeddingsResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_service_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_service_pb2.Operation, _Mapping]] = ...) -> None: ...

class CreateDocumentRequest(_message.Message):
    __slots__ = ("collection_id", "display_name", "external_id", "metadata", "text", "data", "file_name", "request_id", "allow_duplicate")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    display_name: str
    external_id: str
    metadata: _struct_pb2.Struct
    text: str
    data: bytes
    file_name: str
    request_id: str
    allow_duplicate: bool
    def __init__(self, collection_id: _Optional[str] = ..., display_name: _Optional[str] = ..., external_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., file_name: _Optional[str] = ..., request_id: _Optional[str] = ..., allow_duplicate: _Optional[bool] = ...) -> None: ...

class CreateDocumentResponse(_message.Message):
    __slots__ = ("document", "already_existed")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ALREADY_EXISTED_FIELD_NUMBER: _ClassVar[int]
    document: Document
    already_existed: bool
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., already_existed: _Optional[bool] = ...) -> None: ...

class CreateDocumentsRequest(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[CreateDocumentRequest]
    def __init__(self, documents: _Optional[_Iterable[_Union[CreateDocumentRequest, _Mapping]]] = ...) -> None: ...

class CreateDocumentsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CreateDocumentsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CreateDocumentsResult, _Mapping]]] = ...) -> None: ...

class CreateDocumentsResult(_message.Message):
    __slots__ = ("document", "error", "already_existed")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ALREADY_EXISTED_FIELD_NUMBER: _ClassVar[int]
    document: Document
    error: ItemError
    already_existed: bool
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ..., already_existed: _Optional[bool] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class UploadDocumentRequest(_message.Message):
    __slots__ = ("header", "data", "resume")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    header: UploadDocumentHeader
    data: bytes
    resume: UploadResume
    def __init__(self, header: _Optional[_Union[UploadDocumentHeader, _Mapping]] = ..., data: _Optional[bytes] = ..., resume: _Optional[_Union[UploadResume, _Mapping]] = ...) -> None: ...

class UploadResume(_message.Message):
    __slots__ = ("upload_id", "offset")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    offset: int
    def __init__(self, upload_id: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class UploadDocumentHeader(_message.Message):
    __slots__ = ("collection_id", "display_name", "external_id", "metadata", "file_name", "byte_size", "sha256", "request_id", "allow_duplicate")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    display_name: str
    external_id: str
    metadata: _struct_pb2.Struct
    file_name: str
    byte_size: int
    sha256: str
    request_id: str
    allow_duplicate: bool
    def __init__(self, collection_id: _Optional[str] = ..., display_name: _Optional[str] = ..., external_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., file_name: _Optional[str] = ..., byte_size: _Optional[int] = ..., sha256: _Optional[str] = ..., request_id: _Optional[str] = ..., allow_duplicate: _Optional[bool] = ...) -> None: ...

class UploadDocumentResponse(_message.Message):
    __slots__ = ("document", "already_existed")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ALREADY_EXISTED_FIELD_NUMBER: _ClassVar[int]
    document: Document
    already_existed: bool
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., already_existed: _Optional[bool] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("id", "collection_id", "file_name", "byte_size", "sha256", "committed_bytes", "create_time", "expire_time", "document", "already_existed")
    ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ALREADY_EXISTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    collection_id: str
    file_name: str
    byte_size: int
    sha256: str
    committed_bytes: int
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    document: Document
    already_existed: bool
    def __init__(self, id: _Optional[str] = ..., collection_id: _Optional[str] = ..., file_name: _Optional[str] = ..., byte_size: _Optional[int] = ..., sha256: _Optional[str] = ..., committed_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., document: _Optional[_Union[Document, _Mapping]] = ..., already_existed: _Optional[bool] = ...) -> None: ...

class StartUploadRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: UploadDocumentHeader
    def __init__(self, header: _Optional[_Union[UploadDocumentHeader, _Mapping]] = ...) -> None: ...

class StartUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class WriteUploadRequest(_message.Message):
    __slots__ = ("upload_id", "offset", "data", "finish")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    offset: int
    data: bytes
    finish: bool
    def __init__(self, upload_id: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., finish: _Optional[bool] = ...) -> None: ...

class WriteUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class DeleteUploadRequest(_message.Message):
    __slots__ = ("upload_id", "request_id")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    request_id: str
    def __init__(self, upload_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteUploadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelDocumentRequest(_message.Message):
    __slots__ = ("document_id", "request_id")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    request_id: str
    def __init__(self, document_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class RetryDocumentRequest(_message.Message):
    __slots__ = ("document_id", "request_id")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    request_id: str
    def __init__(self, document_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetryDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class RetryFailedRequest(_message.Message):
    __slots__ = ("collection_id", "failure_codes", "page_size", "page_token", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_CODES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    failure_codes: _containers.RepeatedScalarFieldContainer[FailureCode]
    page_size: int
    page_token: str
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., failure_codes: _Optional[_Iterable[_Union[FailureCode, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetryFailedResponse(_message.Message):
    __slots__ = ("retried_count", "next_page_token")
    RETRIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    retried_count: int
    next_page_token: str
    def __init__(self, retried_count: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDocumentRequest(_message.Message):
    __slots__ = ("document_id",)
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    def __init__(self, document_id: _Optional[str] = ...) -> None: ...

class GetDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class GetDocumentTextRequest(_message.Message):
    __slots__ = ("document_id", "version_id", "span")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    version_id: str
    span: TextSpan
    def __init__(self, document_id: _Optional[str] = ..., version_id: _Optional[str] = ..., span: _Optional[_Union[TextSpan, _Mapping]] = ...) -> None: ...

class GetDocumentTextResponse(_message.Message):
    __slots__ = ("text", "span", "total_bytes", "version_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    span: TextSpan
    total_bytes: int
    version_id: str
    def __init__(self, text: _Optional[str] = ..., span: _Optional[_Union[TextSpan, _Mapping]] = ..., total_bytes: _Optional[int] = ..., version_id: _Optional[str] = ...) -> None: ...

class ListDocumentsRequest(_message.Message):
    __slots__ = ("collection_id", "states", "external_id", "page_size", "page_token", "failure_codes")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FAILURE_CODES_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    states: _containers.RepeatedScalarFieldContainer[DocumentState]
    external_id: str
    page_size: int
    page_token: str
    failure_codes: _containers.RepeatedScalarFieldContainer[FailureCode]
    def __init__(self, collection_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[DocumentState, str]]] = ..., external_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., failure_codes: _Optional[_Iterable[_Union[FailureCode, str]]] = ...) -> None: ...

class ListDocumentsResponse(_message.Message):
    __slots__ = ("documents", "next_page_token")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    next_page_token: str
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateDocumentRequest(_message.Message):
    __slots__ = ("document", "update_mask", "request_id")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    document: Document
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class DeleteDocumentRequest(_message.Message):
    __slots__ = ("document_id", "etag", "request_id")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    etag: str
    request_id: str
    def __init__(self, document_id: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteDocumentResponse(_message.Message):
    __slots__ = ("revision_token",)
    REVISION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    revision_token: str
    def __init__(self, revision_token: _Optional[str] = ...) -> None: ...

class DocumentPurgeFilter(_message.Message):
    __slots__ = ("states", "metadata", "external_id_prefix", "updated_before")
    STATES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[DocumentState]
    metadata: _struct_pb2.Struct
    external_id_prefix: str
    updated_before: _timestamp_pb2.Timestamp
    def __init__(self, states: _Optional[_Iterable[_Union[DocumentState, str]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., external_id_prefix: _Optional[str] = ..., updated_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PurgeDocumentsRequest(_message.Message):
    __slots__ = ("collection_id", "filter", "force", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    filter: DocumentPurgeFilter
    force: bool
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., filter: _Optional[_Union[DocumentPurgeFilter, _Mapping]] = ..., force: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class PurgeDocumentsResponse(_message.Message):
    __slots__ = ("document_count", "sample_document_ids", "operation")
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    document_count: int
    sample_document_ids: _containers.RepeatedScalarFieldContainer[str]
    operation: _operation_service_pb2.Operation
    def __init__(self, document_count: _Optional[int] = ..., sample_document_ids: _Optional[_Iterable[str]] = ..., operation: _Optional[_Union[_operation_service_pb2.Operation, _Mapping]] = ...) -> None: ...

class WatchDocumentsRequest(_message.Message):
    __slots__ = ("collection_id", "document_ids", "until_final", "resume_token")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FINAL_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    until_final: bool
    resume_token: str
    def __init__(self, collection_id: _Optional[str] = ..., document_ids: _Optional[_Iterable[str]] = ..., until_final: _Optional[bool] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchDocumentsResponse(_message.Message):
    __slots__ = ("sequence", "document", "deleted_document_id", "snapshot_end", "resume_token")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DELETED_DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    document: Document
    deleted_document_id: str
    snapshot_end: WatchSnapshotEnd
    resume_token: str
    def __init__(self, sequence: _Optional[int] = ..., document: _Optional[_Union[Document, _Mapping]] = ..., deleted_document_id: _Optional[str] = ..., snapshot_end: _Optional[_Union[WatchSnapshotEnd, _Mapping]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchSnapshotEnd(_message.Message):
    __slots__ = ("document_count",)
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    document_count: int
    def __init__(self, document_count: _Optional[int] = ...) -> None: ...

class ListChunksRequest(_message.Message):
    __slots__ = ("document_id", "page_size", "page_token")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    page_size: int
    page_token: str
    def __init__(self, document_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListChunksResponse(_message.Message):
    __slots__ = ("chunks", "next_page_token")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[Chunk]
    next_page_token: str
    def __init__(self, chunks: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("query", "collection_ids", "retrieval", "min_revision")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_IDS_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    query: str
    collection_ids: _containers.RepeatedScalarFieldContainer[str]
    retrieval: RetrievalSettings
    min_revision: str
    def __init__(self, query: _Optional[str] = ..., collection_ids: _Optional[_Iterable[str]] = ..., retrieval: _Optional[_Union[RetrievalSettings, _Mapping]] = ..., min_revision: _Optional[str] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("results", "mode_used")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODE_USED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResult]
    mode_used: RetrievalMode
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResult, _Mapping]]] = ..., mode_used: _Optional[_Union[RetrievalMode, str]] = ...) -> None: ...
