"""Sources and their pages."""

from __future__ import annotations

from minirag_sdk.v1 import source_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.metadata import encode_metadata
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.sources import PageState, Source, SourceKind, SourcePage, SourceState

KINDS = {kind: f"SOURCE_KIND_{kind}" for kind in SourceKind}
STATES = {state: f"SOURCE_STATE_{state}" for state in SourceState}
PAGE_STATES = {state: f"SOURCE_PAGE_STATE_{state}" for state in PageState}
KINDS_BY_NUMBER: dict[int, SourceKind] = {
    pb.SourceKind.Value(name): kind for kind, name in KINDS.items()
}
PAGE_STATES_BY_NUMBER: dict[int, PageState] = {
    pb.SourcePageState.Value(name): state for state, name in PAGE_STATES.items()
}


def encode_source(source: Source) -> pb.Source:
    settings, progress = source.settings, source.progress
    return pb.Source(
        id=encode_id(IdKind.SOURCE, source.id),
        collection_id=encode_id(IdKind.COLLECTION, source.collection_id),
        kind=KINDS[source.kind],
        url=settings.url,
        display_name=settings.display_name,
        metadata=encode_metadata(settings.metadata),
        allowed_hosts=settings.allowed_hosts,
        refresh_minutes=settings.refresh_minutes,
        max_pages=settings.max_pages,
        keep_missing=settings.keep_missing,
        state=STATES[progress.state],
        error=progress.error,
        page_count=progress.counts.pages,
        document_count=progress.counts.documents,
        failed_page_count=progress.counts.failed,
        missing_page_count=progress.counts.missing,
        refresh_count=progress.number,
        refresh_start_time=progress.start_time,
        refresh_end_time=progress.end_time,
        next_refresh_time=progress.next_time,
        create_time=source.create_time,
        update_time=source.update_time,
        etag=encode_etag(source.id, source.revision),
    )


def encode_page(page: SourcePage) -> pb.SourcePage:
    return pb.SourcePage(
        url=page.url,
        state=PAGE_STATES[page.state],
        http_status=page.http_status,
        reason=page.reason,
        document_id=(
            "" if page.document_id is None else encode_id(IdKind.DOCUMENT, page.document_id)
        ),
        fetch_time=page.fetch_time,
    )
