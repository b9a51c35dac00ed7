import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from minirag_sdk.v1 import tenant_service_pb2 as _tenant_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_DIMENSION_UNSPECIFIED: _ClassVar[UsageDimension]
    USAGE_DIMENSION_DAY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_MODEL: _ClassVar[UsageDimension]
    USAGE_DIMENSION_ASSISTANT: _ClassVar[UsageDimension]
    USAGE_DIMENSION_COLLECTION: _ClassVar[UsageDimension]
    USAGE_DIMENSION_API_KEY: _ClassVar[UsageDimension]
    USAGE_DIMENSION_USER: _ClassVar[UsageDimension]
    USAGE_DIMENSION_KIND: _ClassVar[UsageDimension]

class UsageKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_KIND_UNSPECIFIED: _ClassVar[UsageKind]
    USAGE_KIND_CHAT: _ClassVar[UsageKind]
    USAGE_KIND_EMBEDDING: _ClassVar[UsageKind]
    USAGE_KIND_RERANK: _ClassVar[UsageKind]
USAGE_DIMENSION_UNSPECIFIED: UsageDimension
USAGE_DIMENSION_DAY: UsageDimension
USAGE_DIMENSION_MODEL: UsageDimension
USAGE_DIMENSION_ASSISTANT: UsageDimension
USAGE_DIMENSION_COLLECTION: UsageDimension
USAGE_DIMENSION_API_KEY: UsageDimension
USAGE_DIMENSION_USER: UsageDimension
USAGE_DIMENSION_KIND: UsageDimension
USAGE_KIND_UNSPECIFIED: UsageKind
USAGE_KIND_CHAT: UsageKind
USAGE_KIND_EMBEDDING: UsageKind
USAGE_KIND_RERANK: UsageKind

class UsageRow(_message.Message):
    __slots__ = ("day", "model", "assistant_id", "collection_id", "api_key_id", "user_id", "kind", "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls", "estimated_calls", "mean_latency_ms", "mean_first_token_ms")
    DAY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ASSISTANT_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_CALLS_FIELD_NUMBER: _ClassVar[int]
    MEAN_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    day: str
    model: str
    assistant_id: str
    collection_id: str
    api_key_id: str
    user_id: str
    kind: UsageKind
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced_calls: int
    estimated_calls: int
    mean_latency_ms: float
    mean_first_token_ms: float
    def __init__(self, day: _Optional[str] = ..., model: _Optional[str] = ..., assistant_id: _Optional[str] = ..., collection_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., user_id: _Optional[str] = ..., kind: _Optional[_Union[UsageKind, str]] = ..., calls: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., unpriced_calls: _Optional[int] = ..., estimated_calls: _Optional[int] = ..., mean_latency_ms: _Optional[float] = ..., mean_first_token_ms: _Optional[float] = ...) -> None: ...

class ModelPrice(_message.Message):
    __slots__ = ("model", "input_usd_per_million_tokens", "output_usd_per_million_tokens", "is_own")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    model: str
    input_usd_per_million_tokens: float
    output_usd_per_million_tokens: float
    is_own: bool
    def __init__(self, model: _Optional[str] = ..., input_usd_per_million_tokens: _Optional[float] = ..., output_usd_per_million_tokens: _Optional[float] = ..., is_own: _Optional[bool] = ...) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "start_time", "end_time", "group_by")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    group_by: _containers.RepeatedScalarFieldContainer[UsageDimension]
    def __init__(self, tenant_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[UsageDimension, str]]] = ...) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("rows", "total")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    total: UsageRow
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., total: _Optional[_Union[UsageRow, _Mapping]] = ...) -> None: ...

class GetUsageOverviewRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class GetUsageOverviewResponse(_message.Message):
    __slots__ = ("collections", "assistants", "conversations", "messages", "users", "api_keys", "limits", "usage", "today", "this_month", "projected_month_cost_usd", "prices")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    ASSISTANTS_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    API_KEYS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TODAY_FIELD_NUMBER: _ClassVar[int]
    THIS_MONTH_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_MONTH_COST_USD_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    collections: int
    assistants: int
    conversations: int
    messages: int
    users: int
    api_keys: int
    limits: _tenant_service_pb2.Limits
    usage: _tenant_service_pb2.LimitUsage
    today: UsageRow
    this_month: UsageRow
    projected_month_cost_usd: float
    prices: _containers.RepeatedCompositeFieldContainer[ModelPrice]
    def __init__(self, collections: _Optional[int] = ..., assistants: _Optional[int] = ..., conversations: _Optional[int] = ..., messages: _Optional[int] = ..., users: _Optional[int] = ..., api_keys: _Optional[int] = ..., limits: _Optional[_Union[_tenant_service_pb2.Limits, _Mapping]] = ..., usage: _Optional[_Union[_tenant_service_pb2.LimitUsage, _Mapping]] = ..., today: _Optional[_Union[UsageRow, _Mapping]] = ..., this_month: _Optional[_Union[UsageRow, _Mapping]] = ..., projected_month_cost_usd: _Optional[float] = ..., prices: _Optional[_Iterable[_Union[ModelPrice, _Mapping]]] = ...) -> None: ...

class SetModelPriceRequest(_message.Message):
    __slots__ = ("tenant_id", "model", "input_usd_per_million_tokens", "output_usd_per_million_tokens", "request_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    model: str
    input_usd_per_million_tokens: float
    output_usd_per_million_tokens: float
    request_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., model: _Optional[str] = ..., input_usd_per_million_tokens: _Optional[float] = ..., output_usd_per_million_tokens: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetModelPriceResponse(_message.Message):
    __slots__ = ("price",)
    PRICE_FIELD_NUMBER: _ClassVar[int]
    price: ModelPrice
    def __init__(self, price: _Optional[_Union[ModelPrice, _Mapping]] = ...) -> None: ...

class ListModelPricesRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class ListModelPricesResponse(_message.Message):
    __slots__ = ("prices",)
    PRICES_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[ModelPrice]
    def __init__(self, prices: _Optional[_Iterable[_Union[ModelPrice, _Mapping]]] = ...) -> None: ...

class DeleteModelPriceRequest(_message.Message):
    __slots__ = ("tenant_id", "model", "request_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    model: str
    request_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteModelPriceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
