"""Requests to a chat model, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from minirag.adapters.models.extractive import ExtractiveChatModels
from minirag.domain.chunks import Chunk
from minirag.domain.retrieval import RetrievedChunk
from minirag.services.citing import CitationTracker
from minirag.services.ports.models import AnswerFinished, AnswerRequest, Passage, TextDelta


@dataclass(frozen=True, slots=True)
class Answer:
    deltas: list[str]
    finished: AnswerFinished
    quotes: dict[int, str]
    """What `CitationTracker` resolves the answer's marks to, by number."""

    @property
    def text(self) -> str:
        return "".join(self.deltas)


def a_request(
    question: str, passages: Sequence[str], *, max_output_tokens: int = 500, timeout: float = 30.0
) -> AnswerRequest:
    return AnswerRequest(
        model="extractive",
        messages=(),
        question=question,
        passages=tuple(Passage(number, text) for number, text in enumerate(passages, start=1)),
        temperature=None,
        max_output_tokens=max_output_tokens,
        timeout=timeout,
    )


async def ask(question: str, *passages: str, max_output_tokens: int = 500) -> Answer:
    """Ask the extractive model, and resolve its marks as a chat does."""
    tracker = CitationTracker([_retrieved(text) for text in passages])
    deltas: list[str] = []
    finished: AnswerFinished | None = None
    request = a_request(question, passages, max_output_tokens=max_output_tokens)
    async for event in ExtractiveChatModels().answer(request):
        assert finished is None, "an event after the last one"
        if isinstance(event, TextDelta):
            deltas.append(event.text)
            tracker.feed(event.text)
        else:
            finished = event
    tracker.finish()
    assert finished is not None
    quotes = {number: citation.quote for number, citation in tracker.citations.items()}
    return Answer(deltas, finished, quotes)


def _retrieved(text: str) -> RetrievedChunk:
    size = len(text.encode())
    chunk = Chunk(uuid4(), uuid4(), uuid4(), uuid4(), 0, text, 0, size, token_count=1)
    return RetrievedChunk(chunk=chunk, document_name="a document", score=1.0)
