"""What a search asks for and what it finds."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.mapping.chunks import encode_chunk
from minirag.api.mapping.metadata import decode_metadata, encode_metadata
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.retrieval import LegScore, RetrievalMode, RetrievalSettings, RetrievedChunk

MAX_PASSAGES = 100

RETRIEVAL_MODES = {mode: f"RETRIEVAL_MODE_{mode}" for mode in RetrievalMode}
MODES_BY_NUMBER: dict[int, RetrievalMode] = {
    pb.RETRIEVAL_MODE_UNSPECIFIED: RetrievalMode.HYBRID,
    **{pb.RetrievalMode.Value(name): mode for mode, name in RETRIEVAL_MODES.items()},
}
_DEFAULTS = RetrievalSettings()


def decode_retrieval(
    check: RequestCheck, field: str, settings: pb.RetrievalSettings
) -> RetrievalSettings:
    """Return the settings; what was left out has its default."""
    limit = check.integer(f"{field}.limit", settings.limit, least=0, most=MAX_PASSAGES)
    return RetrievalSettings(
        limit=limit or _DEFAULTS.limit,
        mode=check.choice(f"{field}.mode", settings.mode, MODES_BY_NUMBER) or _DEFAULTS.mode,
        min_score=check.number(f"{field}.min_score", settings.min_score, least=0, most=1),
        metadata=decode_metadata(check, f"{field}.metadata", settings.metadata),
    )


def encode_retrieval(settings: RetrievalSettings) -> pb.RetrievalSettings:
    return pb.RetrievalSettings(
        limit=settings.limit,
        mode=RETRIEVAL_MODES[settings.mode],
        min_score=settings.min_score,
        metadata=encode_metadata(settings.metadata) if settings.metadata else None,
    )


def encode_result(result: RetrievedChunk) -> pb.SearchResult:
    return pb.SearchResult(
        chunk=encode_chunk(result.chunk),
        collection_id=encode_id(IdKind.COLLECTION, result.chunk.collection_id),
        document_display_name=result.document_name,
        score=result.score,
        lexical=_leg(result.lexical),
        dense=_leg(result.dense),
    )


def _leg(leg: LegScore) -> pb.LegScore | None:
    return pb.LegScore(rank=leg.rank, score=leg.score) if leg.rank else None
