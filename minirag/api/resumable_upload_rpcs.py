"""Uploads that survive: the unary part of them in DocumentService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.uploads import encode_upload
from minirag.api.request_keys import request_key
from minirag.api.upload_rpcs import read_description
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.uploads import UploadService


class ResumableUploadRpcs:
    _uploads: UploadService

    async def StartUpload(
        self, request: pb.StartUploadRequest, context: ServicerContext
    ) -> pb.StartUploadResponse:
        header = request.header
        with RequestCheck() as check:
            new = read_description(check, "header.", header)
            if header.byte_size < 1:
                check.refuse("header.byte_size", "is required: the size of the content in bytes")
            if not header.sha256:
                check.refuse("header.sha256", "is required: 64 hex digits")
            sha256 = check.sha256("header.sha256", header.sha256)
            request_id = check.request_id("header.request_id", header.request_id)
        status = await self._uploads.start(
            current_tenant(),
            replace(new, byte_size=header.byte_size, sha256=sha256),
            request=request_key(current_call().method, header, request_id),
        )
        return pb.StartUploadResponse(upload=encode_upload(status))

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: ServicerContext
    ) -> pb.GetUploadResponse:
        with RequestCheck() as check:
            upload_id = check.id("upload_id", IdKind.UPLOAD, request.upload_id)
        status = await self._uploads.get(current_tenant(), upload_id)
        return pb.GetUploadResponse(upload=encode_upload(status))

    async def WriteUpload(
        self, request: pb.WriteUploadRequest, context: ServicerContext
    ) -> pb.WriteUploadResponse:
        with RequestCheck() as check:
            upload_id = check.id("upload_id", IdKind.UPLOAD, request.upload_id)
            if request.offset < 0:
                check.refuse("offset", "must not be negative")
            if not request.data and not request.finish:
                check.refuse("data", "is required: the next bytes, or set finish")
        tenant = current_tenant()
        status = await self._uploads.write(tenant, upload_id, request.offset, _once(request.data))
        if request.finish:
            await self._uploads.finish(tenant, upload_id)
            status = await self._uploads.get(tenant, upload_id)
        return pb.WriteUploadResponse(upload=encode_upload(status))

    async def DeleteUpload(
        self, request: pb.DeleteUploadRequest, context: ServicerContext
    ) -> pb.DeleteUploadResponse:
        with RequestCheck() as check:
            upload_id = check.id("upload_id", IdKind.UPLOAD, request.upload_id)
            request_id = check.request_id("request_id", request.request_id)
        await self._uploads.delete(
            current_tenant(),
            upload_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteUploadResponse()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
