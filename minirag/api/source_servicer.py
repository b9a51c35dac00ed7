"""SourceService: web pages that are kept as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct
from minirag_sdk.v1 import source_service_pb2 as pb
from minirag_sdk.v1.source_service_pb2_grpc import SourceServiceServicer

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.metadata import decode_metadata
from minirag.api.mapping.sources import (
    KINDS_BY_NUMBER,
    PAGE_STATES_BY_NUMBER,
    encode_page,
    encode_source,
)
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.documents import MetadataValue
from minirag.domain.ids import IdKind
from minirag.domain.sources import SourceKind, SourceSettings
from minirag.services.sources import SourceService

MAX_NAME = 200
MAX_URL = 2000
MAX_HOSTS = 50
MAX_KEYS = 60
SHORTEST_INTERVAL = 5
LONGEST_INTERVAL = 365 * 24 * 60
MAX_PAGES = 1_000_000
"""The service knows the server's own limit."""
OWN_KEYS = ("source_id", "url")
FIELDS = (
    "url",
    "display_name",
    "metadata",
    "allowed_hosts",
    "refresh_minutes",
    "max_pages",
    "keep_missing",
)


class SourceServicer(SourceServiceServicer):
    def __init__(self, sources: SourceService) -> None:
        self._sources = sources

    async def CreateSource(
        self, request: pb.CreateSourceRequest, context: ServicerContext
    ) -> pb.CreateSourceResponse:
        with RequestCheck() as check:
            collection_id = check.id("collection_id", IdKind.COLLECTION, request.collection_id)
            kind = check.choice("kind", request.kind, KINDS_BY_NUMBER) or SourceKind.PAGE
            read = _read_settings(check, request, FIELDS, "")
            request_id = check.request_id("request_id", request.request_id)
        source = await self._sources.create(
            current_tenant(),
            collection_id=collection_id,
            kind=kind,
            settings=SourceSettings(**read),
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateSourceResponse(source=encode_source(source))

    async def GetSource(
        self, request: pb.GetSourceRequest, context: ServicerContext
    ) -> pb.GetSourceResponse:
        with RequestCheck() as check:
            source_id = check.id("source_id", IdKind.SOURCE, request.source_id)
        source = await self._sources.get(current_tenant(), source_id)
        return pb.GetSourceResponse(source=encode_source(source))

    async def ListSources(
        self, request: pb.ListSourcesRequest, context: ServicerContext
    ) -> pb.ListSourcesResponse:
        with RequestCheck() as check:
            collection_id = check.optional_id(
                "collection_id", IdKind.COLLECTION, request.collection_id
            )
            query = read_id_page(check, request)
        page = await self._sources.list_page(
            current_tenant(), collection_id=collection_id, after=query.after, limit=query.limit
        )
        response = pb.ListSourcesResponse()
        response.next_page_token = query.fill(
            page, response.sources, encode_source, lambda source: source.id
        )
        return response

    async def UpdateSource(
        self, request: pb.UpdateSourceRequest, context: ServicerContext
    ) -> pb.UpdateSourceResponse:
        wanted = request.source
        with RequestCheck() as check:
            source_id = check.id("source.id", IdKind.SOURCE, wanted.id)
            fields = check.update_mask(request.update_mask, FIELDS)
            changes = _read_settings(check, wanted, sorted(fields), "source.")
            revision = check.etag("source.etag", source_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        source = await self._sources.update(
            current_tenant(),
            source_id,
            changes,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateSourceResponse(source=encode_source(source))

    async def DeleteSource(
        self, request: pb.DeleteSourceRequest, context: ServicerContext
    ) -> pb.DeleteSourceResponse:
        with RequestCheck() as check:
            source_id = check.id("source_id", IdKind.SOURCE, request.source_id)
            revision = check.etag("etag", source_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._sources.delete(
            current_tenant(),
            source_id,
            delete_documents=request.delete_documents,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteSourceResponse()

    async def RefreshSource(
        self, request: pb.RefreshSourceRequest, context: ServicerContext
    ) -> pb.RefreshSourceResponse:
        with RequestCheck() as check:
            source_id = check.id("source_id", IdKind.SOURCE, request.source_id)
            request_id = check.request_id("request_id", request.request_id)
        source = await self._sources.refresh(
            current_tenant(),
            source_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.RefreshSourceResponse(source=encode_source(source))

    async def ListSourcePages(
        self, request: pb.ListSourcePagesRequest, context: ServicerContext
    ) -> pb.ListSourcePagesResponse:
        with RequestCheck() as check:
            source_id = check.id("source_id", IdKind.SOURCE, request.source_id)
            states = check.choices("states", request.states, PAGE_STATES_BY_NUMBER)
            query = read_id_page(check, request)
        page = await self._sources.list_pages(
            current_tenant(), source_id, states=states, after=query.after, limit=query.limit
        )
        response = pb.ListSourcePagesResponse()
        response.next_page_token = query.fill(
            page, response.pages, encode_page, lambda found: found.id
        )
        return response


def _read_settings(
    check: RequestCheck,
    wanted: pb.CreateSourceRequest | pb.Source,
    fields: Sequence[str],
    prefix: str,
) -> dict[str, Any]:
    """The settings that `fields` names, checked; `prefix` leads to them in the request."""
    read: dict[str, Any] = {name: getattr(wanted, name) for name in fields}
    for name in fields:
        field, value = f"{prefix}{name}", read[name]
        if name == "url":
            check.required_text(field, value, longest=MAX_URL)
        elif name == "display_name":
            check.text(field, value, longest=MAX_NAME)
        elif name == "metadata":
            read[name] = _read_metadata(check, field, value)
        elif name == "allowed_hosts":
            read[name] = _read_hosts(check, field, value)
        elif name == "refresh_minutes" and value:
            check.integer(field, value, least=SHORTEST_INTERVAL, most=LONGEST_INTERVAL)
        elif name == "max_pages":
            check.integer(field, value, least=0, most=MAX_PAGES)
    return read


def _read_metadata(check: RequestCheck, field: str, value: Struct) -> dict[str, MetadataValue]:
    metadata = decode_metadata(check, field, value)
    if len(metadata) > MAX_KEYS:
        check.refuse(field, f"must have at most {MAX_KEYS} keys, has {len(metadata)}")
    if taken := sorted(set(OWN_KEYS) & metadata.keys()):
        check.refuse(field, f"must not have the key {taken[0]!r}, which the server sets")
    return metadata


def _read_hosts(check: RequestCheck, field: str, values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > MAX_HOSTS:
        check.refuse(field, f"must hold at most {MAX_HOSTS} hosts, holds {len(values)}")
        return ()
    return tuple(dict.fromkeys(check.required_text(field, host, longest=253) for host in values))
