"""Taking documents in: the unary and the streaming part of DocumentService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.documents import encode_document
from minirag.api.mapping.metadata import decode_metadata
from minirag.api.request_keys import request_key
from minirag.api.uploads import UploadStream
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.accepting import Accepted, DocumentIntake, NewDocument
from minirag.services.uploads import UploadService

MAX_NAME = 500
TEXT_MEDIA_TYPE = "text/plain"


class UploadRpcs:
    _intake: DocumentIntake
    _uploads: UploadService
    _max_document_bytes: int

    async def CreateDocument(
        self, request: pb.CreateDocumentRequest, context: ServicerContext
    ) -> pb.CreateDocumentResponse:
        return await self.create(request)

    async def create(self, request: pb.CreateDocumentRequest) -> pb.CreateDocumentResponse:
        """Accept one whole document, of a call or of a batch."""
        content, media_type = b"", ""
        with RequestCheck() as check:
            new = read_description(check, "", request)
            if request.WhichOneof("content") == "text":
                check.plain("text", request.text)
                content, media_type = request.text.encode(), TEXT_MEDIA_TYPE
            else:
                content = request.data
            if not content:
                field = request.WhichOneof("content") or "content"
                check.refuse(field, "is required and must not be empty: send text or data")
            request_id = check.request_id("request_id", request.request_id)
        accepted = await self._intake.upload(
            current_tenant(),
            replace(new, declared_media_type=media_type, byte_size=len(content)),
            _once(content),
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateDocumentResponse(
            document=encode_document(accepted.document), already_existed=accepted.already_existed
        )

    async def UploadDocument(
        self, request_iterator: AsyncIterator[pb.UploadDocumentRequest], context: ServicerContext
    ) -> pb.UploadDocumentResponse:
        stream = UploadStream(request_iterator, context, max_bytes=self._max_document_bytes)
        header = await stream.read_first()
        if isinstance(header, pb.UploadResume):
            return await self._go_on(header, stream)
        with RequestCheck() as check:
            new = read_description(check, "header.", header)
            if header.byte_size < 0:
                check.refuse("header.byte_size", "must not be negative: leave it out if unknown")
            sha256 = check.sha256("header.sha256", header.sha256)
            request_id = check.request_id("header.request_id", header.request_id)
        stream.check_size(header.byte_size)
        async with aclosing(stream.read_content()) as content:
            accepted = await self._intake.upload(
                current_tenant(),
                replace(new, byte_size=header.byte_size or None, sha256=sha256),
                content,
                request=request_key(current_call().method, header, request_id),
            )
        return _encode(accepted)

    async def _go_on(
        self, resume: pb.UploadResume, stream: UploadStream
    ) -> pb.UploadDocumentResponse:
        with RequestCheck() as check:
            upload_id = check.id("resume.upload_id", IdKind.UPLOAD, resume.upload_id)
            if resume.offset < 0:
                check.refuse("resume.offset", "must not be negative")
        async with aclosing(stream.read_content(may_be_empty=True)) as content:
            await self._uploads.write(current_tenant(), upload_id, resume.offset, content)
        return _encode(await self._uploads.finish(current_tenant(), upload_id))


def read_description(
    check: RequestCheck,
    path: str,
    request: pb.CreateDocumentRequest | pb.UploadDocumentHeader,
) -> NewDocument:
    """Read what both kinds of upload say about the document."""
    return NewDocument(
        collection_id=check.id(path + "collection_id", IdKind.COLLECTION, request.collection_id),
        display_name=check.text(path + "display_name", request.display_name, longest=MAX_NAME),
        external_id=check.text(path + "external_id", request.external_id, longest=MAX_NAME),
        metadata=decode_metadata(check, path + "metadata", request.metadata),
        file_name=check.text(path + "file_name", request.file_name, longest=MAX_NAME),
        allow_duplicate=request.allow_duplicate,
    )


def _encode(accepted: Accepted) -> pb.UploadDocumentResponse:
    return pb.UploadDocumentResponse(
        document=encode_document(accepted.document), already_existed=accepted.already_existed
    )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
