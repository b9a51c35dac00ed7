"""Documents."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.metadata import encode_metadata
from minirag.api.resume_tokens import encode_revision_token
from minirag.domain.changes import RevisionMark
from minirag.domain.documents import Document, DocumentState, Failure, FailureCode
from minirag.domain.ids import IdKind, encode_id

MOST_SECONDS = 365 * 86_400
# DELETING has no number: such documents are invisible.
DOCUMENT_STATES: dict[DocumentState, str] = {
    state: f"DOCUMENT_STATE_{state}"
    for state in DocumentState
    if state is not DocumentState.DELETING
}
STATES_BY_NUMBER: dict[int, DocumentState] = {
    pb.DocumentState.Value(name): state for state, name in DOCUMENT_STATES.items()
}
FAILURE_CODES = {code: f"FAILURE_CODE_{code}" for code in FailureCode}
FAILURE_CODES_BY_NUMBER: dict[int, FailureCode] = {
    pb.FailureCode.Value(name): code for code, name in FAILURE_CODES.items()
}


def encode_document(document: Document) -> pb.Document:
    version = document.version
    published = document.published_version_id
    return pb.Document(
        id=encode_id(IdKind.DOCUMENT, document.id),
        collection_id=encode_id(IdKind.COLLECTION, document.collection_id),
        external_id=document.external_id,
        display_name=document.display_name,
        metadata=encode_metadata(document.metadata),
        state=DOCUMENT_STATES[document.state],
        failure=None if version.failure is None else _failure(version.failure),
        version_id=encode_id(IdKind.DOCUMENT_VERSION, version.id),
        version=version.number,
        published_version_id=(
            "" if published is None else encode_id(IdKind.DOCUMENT_VERSION, published)
        ),
        media_type=version.media_type,
        file_name=version.file_name,
        byte_size=version.byte_size,
        sha256=version.sha256,
        text_bytes=version.text_bytes,
        page_count=version.page_count,
        chunk_count=version.chunk_count,
        chunks_indexed=version.chunks_indexed,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=encode_etag(document.id, document.revision),
        revision_token=encode_revision_token(
            document.tenant_id, RevisionMark(document.id, version.number)
        ),
        time_left=_duration(version.seconds_left),
        chunks_found=version.chunks_found,
        text_bytes_cut=version.text_bytes_cut,
    )


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromMilliseconds(round(min(seconds, MOST_SECONDS) * 1000))
    return duration


def _failure(failure: Failure) -> pb.DocumentFailure:
    return pb.DocumentFailure(code=FAILURE_CODES[failure.code], reason=failure.reason)
