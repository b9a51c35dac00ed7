import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_KIND_UNSPECIFIED: _ClassVar[SourceKind]
    SOURCE_KIND_PAGE: _ClassVar[SourceKind]
    SOURCE_KIND_SITEMAP: _ClassVar[SourceKind]
    SOURCE_KIND_FEED: _ClassVar[SourceKind]

class SourceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_STATE_UNSPECIFIED: _ClassVar[SourceState]
    SOURCE_STATE_PENDING: _ClassVar[SourceState]
    SOURCE_STATE_REFRESHING: _ClassVar[SourceState]
    SOURCE_STATE_READY: _ClassVar[SourceState]
    SOURCE_STATE_FAILED: _ClassVar[SourceState]

class SourcePageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_PAGE_STATE_UNSPECIFIED: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_PENDING: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_STORED: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_UNCHANGED: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_FAILED: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_BLOCKED: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_MISSING: _ClassVar[SourcePageState]
    SOURCE_PAGE_STATE_REMOVED: _ClassVar[SourcePageState]
SOURCE_KIND_UNSPECIFIED: SourceKind
SOURCE_KIND_PAGE: SourceKind
SOURCE_KIND_SITEMAP: SourceKind
SOURCE_KIND_FEED: SourceKind
SOURCE_STATE_UNSPECIFIED: SourceState
SOURCE_STATE_PENDING: SourceState
SOURCE_STATE_REFRESHING: SourceState
SOURCE_STATE_READY: SourceState
SOURCE_STATE_FAILED: SourceState
SOURCE_PAGE_STATE_UNSPECIFIED: SourcePageState
SOURCE_PAGE_STATE_PENDING: SourcePageState
SOURCE_PAGE_STATE_STORED: SourcePageState
SOURCE_PAGE_STATE_UNCHANGED: SourcePageState
SOURCE_PAGE_STATE_FAILED: SourcePageState
SOURCE_PAGE_STATE_BLOCKED: SourcePageState
SOURCE_PAGE_STATE_MISSING: SourcePageState
SOURCE_PAGE_STATE_REMOVED: SourcePageState

class Source(_message.Message):
    __slots__ = ("id", "collection_id", "kind", "url", "display_name", "metadata", "allowed_hosts", "refresh_minutes", "max_pages", "keep_missing", "state", "error", "page_count", "document_count", "failed_page_count", "missing_page_count", "refresh_count", "refresh_start_time", "refresh_end_time", "next_refresh_time", "create_time", "update_time", "etag")
    ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PAGES_FIELD_NUMBER: _ClassVar[int]
    KEEP_MISSING_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_PAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSING_PAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFRESH_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFRESH_START_TIME_FIELD_NUMBER: _ClassVar[int]
    REFRESH_END_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_REFRESH_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    collection_id: str
    kind: SourceKind
    url: str
    display_name: str
    metadata: _struct_pb2.Struct
    allowed_hosts: _containers.RepeatedScalarFieldContainer[str]
    refresh_minutes: int
    max_pages: int
    keep_missing: bool
    state: SourceState
    error: str
    page_count: int
    document_count: int
    failed_page_count: int
    missing_page_count: int
    refresh_count: int
    refresh_start_time: _timestamp_pb2.Timestamp
    refresh_end_time: _timestamp_pb2.Timestamp
    next_refresh_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, id: _Optional[str] = ..., collection_id: _Optional[str] = ..., kind: _Optional[_Union[SourceKind, str]] = ..., url: _Optional[str] = ..., display_name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., allowed_hosts: _Optional[_Iterable[str]] = ..., refresh_minutes: _Optional[int] = ..., max_pages: _Optional[int] = ..., keep_missing: _Optional[bool] = ..., state: _Optional[_Union[SourceState, str]] = ..., error: _Optional[str] = ..., page_count: _Optional[int] = ..., document_count: _Optional[int] = ..., failed_page_count: _Optional[int] = ..., missing_page_count: _Optional[int] = ..., refresh_count: _Optional[int] = ..., refresh_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refresh_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_refresh_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class SourcePage(_message.Message):
    __slots__ = ("url", "state", "http_status", "reason", "document_id", "fetch_time")
    URL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FETCH_TIME_FIELD_NUMBER: _ClassVar[int]
    url: str
    state: SourcePageState
    http_status: int
    reason: str
    document_id: str
    fetch_time: _timestamp_pb2.Timestamp
    def __init__(self, url: _Optional[str] = ..., state: _Optional[_Union[SourcePageState, str]] = ..., http_status: _Optional[int] = ..., reason: _Optional[str] = ..., document_id: _Optional[str] = ..., fetch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateSourceRequest(_message.Message):
    __slots__ = ("collection_id", "kind", "url", "display_name", "metadata", "allowed_hosts", "refresh_minutes", "max_pages", "keep_missing", "request_id")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PAGES_FIELD_NUMBER: _ClassVar[int]
    KEEP_MISSING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    kind: SourceKind
    url: str
    display_name: str
    metadata: _struct_pb2.Struct
    allowed_hosts: _containers.RepeatedScalarFieldContainer[str]
    refresh_minutes: int
    max_pages: int
    keep_missing: bool
    request_id: str
    def __init__(self, collection_id: _Optional[str] = ..., kind: _Optional[_Union[SourceKind, str]] = ..., url: _Optional[str] = ..., display_name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., allowed_hosts: _Optional[_Iterable[str]] = ..., refresh_minutes: _Optional[int] = ..., max_pages: _Optional[int] = ..., keep_missing: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSourceResponse(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: Source
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class GetSourceRequest(_message.Message):
    __slots__ = ("source_id",)
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    def __init__(self, source_id: _Optional[str] = ...) -> None: ...

class GetSourceResponse(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: Source
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class ListSourcesRequest(_message.Message):
    __slots__ = ("collection_id", "page_size", "page_token")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    page_size: int
    page_token: str
    def __init__(self, collection_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourcesResponse(_message.Message):
    __slots__ = ("sources", "next_page_token")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    next_page_token: str
    def __init__(self, sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSourceRequest(_message.Message):
    __slots__ = ("source", "update_mask", "request_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    source: Source
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateSourceResponse(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: Source
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class DeleteSourceRequest(_message.Message):
    __slots__ = ("source_id", "delete_documents", "etag", "request_id")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    DELETE_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    delete_documents: bool
    etag: str
    request_id: str
    def __init__(self, source_id: _Optional[str] = ..., delete_documents: _Optional[bool] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteSourceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RefreshSourceRequest(_message.Message):
    __slots__ = ("source_id", "request_id")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    request_id: str
    def __init__(self, source_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RefreshSourceResponse(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: Source
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class ListSourcePagesRequest(_message.Message):
    __slots__ = ("source_id", "states", "page_size", "page_token")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    states: _containers.RepeatedScalarFieldContainer[SourcePageState]
    page_size: int
    page_token: str
    def __init__(self, source_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[SourcePageState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourcePagesResponse(_message.Message):
    __slots__ = ("pages", "next_page_token")
    PAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pages: _containers.RepeatedCompositeFieldContainer[SourcePage]
    next_page_token: str
    def __init__(self, pages: _Optional[_Iterable[_Union[SourcePage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
