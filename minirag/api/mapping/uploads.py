"""Uploads that survive."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.mapping.documents import encode_document
from minirag.domain.ids import IdKind, encode_id
from minirag.services.uploads import UploadStatus


def encode_upload(status: UploadStatus) -> pb.Upload:
    upload, document = status.upload, status.document
    return pb.Upload(
        id=encode_id(IdKind.UPLOAD, upload.id),
        collection_id=encode_id(IdKind.COLLECTION, upload.collection_id),
        file_name=upload.file_name,
        byte_size=upload.byte_size,
        sha256=upload.sha256,
        committed_bytes=upload.committed_bytes,
        create_time=upload.create_time,
        expire_time=upload.expire_time,
        document=None if document is None else encode_document(document),
        already_existed=upload.already_existed,
    )
