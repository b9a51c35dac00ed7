"""Citations: the marks `[n]` of a streamed answer, resolved to the sentences that support them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from minirag.domain.chats import Citation, Cited, Delta
from minirag.domain.retrieval import RetrievedChunk
from minirag.services.sentences import Sentence, split_sentences, words

_MARK = re.compile(r"\[\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*\]")
_OPEN_MARK = re.compile(r"\[[\d\s,]*\Z")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
LONGEST_MARK = 96
"""Characters of a mark at most: about 25 numbers. What is longer is text, so that little is held back."""


class CitationTracker:
    """Reads an answer as it streams and resolves each mark as soon as it is complete.

    Text is held back only from a `[` that may become a mark, a few characters at most. Numbers of
    passages that don't exist are taken out of the answer; each number is resolved once, against the
    statement before its first mark.
    """

    def __init__(self, passages: Sequence[RetrievedChunk]) -> None:
        self._passages = passages
        self._held = ""
        self._statement = ""
        self._answer: list[str] = []
        self.citations: dict[int, Citation] = {}

    @property
    def answer(self) -> str:
        """What has been let through so far."""
        return "".join(self._answer)

    def feed(self, text: str) -> list[Delta | Cited]:
        """Take the next piece of the model's text; return what may be sent now."""
        if not self._held and "[" not in text:  # nearly every piece
            events: list[Delta | Cited] = []
            self._say(_storable(text), events)
            return events
        pending = self._held + _storable(text)
        self._held = ""
        open_mark = _OPEN_MARK.search(pending)
        if open_mark and len(pending) - open_mark.start() < LONGEST_MARK:
            self._held = pending[open_mark.start() :]
            pending = pending[: open_mark.start()]
        return self._emit(pending)

    def finish(self) -> list[Delta | Cited]:
        """Return what was held back when the answer ended."""
        rest, self._held = self._held, ""
        return self._emit(rest)

    def _emit(self, text: str) -> list[Delta | Cited]:
        events: list[Delta | Cited] = []
        position = 0
        for mark in _MARK.finditer(text):
            if len(mark.group()) > LONGEST_MARK:
                continue
            self._say(text[position : mark.start()], events)
            position = mark.end()
            numbers = [int(digits) for digits in re.findall(r"\d+", mark.group())]
            valid = [number for number in numbers if 1 <= number <= len(self._passages)]
            if valid:
                self._cite(valid, events)
        self._say(text[position:], events)
        return _joined(events)

    def _say(self, text: str, events: list[Delta | Cited]) -> None:
        if text:
            self._answer.append(text)
            self._statement = (self._statement + text)[-2000:]
            events.append(Delta(text))

    def _cite(self, numbers: list[int], events: list[Delta | Cited]) -> None:
        mark = "".join(f"[{number}]" for number in numbers)
        self._answer.append(mark)
        events.append(Delta(mark))
        statement = _last_statement(self._statement)
        for number in numbers:
            if number not in self.citations:
                citation = resolve(number, self._passages[number - 1], statement)
                self.citations[number] = citation
                events.append(Cited(citation))


def _storable(text: str) -> str:
    """Without what neither Postgres nor protobuf takes: NULs, and halves of a surrogate pair, which come
    from providers that cut JSON in the middle of a character."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _joined(events: list[Delta | Cited]) -> list[Delta | Cited]:
    """Join neighbouring deltas, so that a mark costs no event of its own."""
    joined: list[Delta | Cited] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Delta) and isinstance(last, Delta):
            joined[-1] = Delta(last.text + event.text)
        else:
            joined.append(event)
    return joined


def _last_statement(text: str) -> str:
    sentences = split_sentences(text)
    return sentences[-1].text if sentences else ""


def resolve(number: int, passage: RetrievedChunk, statement: str) -> Citation:
    """Return the citation of a passage for a statement: the passage's sentence that supports it best.

    Support is the share of the words of both that they have in common (Jaccard index); a passage of
    which no sentence has a word in common is quoted whole.
    """
    chunk = passage.chunk
    wanted = words(statement)
    best: Sentence | None = None
    best_score = 0.0
    for sentence in split_sentences(chunk.text):
        own = words(sentence.text)
        score = len(own & wanted) / len(own | wanted) if own and wanted else 0.0
        if score > best_score:
            best, best_score = sentence, score
    quote = chunk.text if best is None else best.text
    first_character = 0 if best is None else best.start
    start = chunk.start + len(chunk.text[:first_character].encode())
    end = start + len(quote.encode())
    page_first, page_last = chunk.find_pages(start, end)
    return Citation(
        number=number,
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        version_id=chunk.version_id,
        collection_id=chunk.collection_id,
        document_name=passage.document_name,
        start=start,
        end=end,
        quote=quote,
        page_first=page_first,
        page_last=page_last,
        heading_path=chunk.heading_path,
    )
