"""The built-in chat model `extractive`: answers by quoting, with no provider and no network."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence

from minirag.adapters.chunk_measures import estimate_tokens
from minirag.adapters.models.question_terms import QuestionTerms
from minirag.adapters.models.sentence_choice import Candidate, choose_sentences, read_candidates
from minirag.domain.chats import FinishReason
from minirag.domain.usage import Usage
from minirag.errors import DeadlineExceeded
from minirag.services.ports.models import AnswerFinished, AnswerRequest, TextDelta

NO_ANSWER = "The documents don't answer this question."

_DELTAS_PER_TURN = 8
# A word with the space before it. What has no spaces is cut every so many signs; a mark stays whole.
_DELTA = re.compile(r"\s*(?:\[\d+\]|\S{1,12})")
_LINE_MARK = re.compile(r"\A(?:[-*+•>]\s+|#{1,6}\s+)+")
_BRACKETED_NUMBERS = re.compile(r"\[([\d\s,]+)\]")


class ExtractiveChatModels:
    """`ChatModels` that answers with the sentences of the passages that match the question best.

    Each sentence stands on a line of its own, followed by its mark `[n]`. The same request always gives
    the same answer. Tokens are counted by `chunk_measures.estimate_tokens`: the question and the passages as
    input, the answer as output. Answers cost nothing.
    """

    async def answer(
        self, request: AnswerRequest
    ) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        """Stream the answer; one that is longer than `max_output_tokens` ends with `LENGTH`.

        Raises `DeadlineExceeded` after `request.timeout`.
        """
        deadline = time.monotonic() + request.timeout
        question = QuestionTerms(request.question)
        candidates: list[Candidate] = []
        for passage in request.passages:
            candidates += read_candidates(passage, question)
            await _take_turns(deadline, request.timeout)
        chosen = choose_sentences(candidates, question.asked)
        statements = [f"{_say(c.text)} [{c.number}]" for c in chosen] or [NO_ANSWER]
        answer, is_whole = _fit(statements, request.max_output_tokens)
        for count, delta in enumerate(_DELTA.findall(answer), start=1):
            yield TextDelta(delta)
            if count % _DELTAS_PER_TURN == 0:
                await _take_turns(deadline, request.timeout)
        yield AnswerFinished(
            _count(request, answer), FinishReason.STOP if is_whole else FinishReason.LENGTH
        )

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        """Usage of an answer that was cut short, counted like that of a whole one."""
        return _count(request, answer, is_estimated=True)


async def _take_turns(deadline: float, timeout: float) -> None:
    """Let the event loop serve others, and stop when the caller's time has run out."""
    await asyncio.sleep(0)
    if time.monotonic() >= deadline:
        raise DeadlineExceeded(
            f"The answer was not complete after {timeout:g} s; allow more time, or retrieve fewer "
            "chunks"
        )


def _say(sentence: str) -> str:
    """The sentence as it reads in an answer: the same words, without the marks of a list or heading.

    Numbers in brackets are the text's own references; in parentheses they can't pose as citations.
    """
    plain = _LINE_MARK.sub("", " ".join(sentence.split()))
    return _BRACKETED_NUMBERS.sub(r"(\1)", plain)


def _fit(statements: Sequence[str], limit: int) -> tuple[str, bool]:
    """The statements that fit into `limit` tokens, and whether that is all of them.

    Of a first one that doesn't fit, as many words as do, so that there is an answer at all.
    """
    answer = ""
    for statement in statements:
        longer = f"{answer}\n{statement}" if answer else statement
        if estimate_tokens(longer) > limit:
            return answer or _cut(statement, limit), False
        answer = longer
    return answer, True


def _cut(statement: str, limit: int) -> str:
    cut = ""
    for piece in _DELTA.findall(statement):
        if estimate_tokens(cut + piece) > limit:
            break
        cut += piece
    return cut


def _count(request: AnswerRequest, answer: str, *, is_estimated: bool = False) -> Usage:
    read = [request.question, *(passage.text for passage in request.passages)]
    return Usage(sum(map(estimate_tokens, read)), estimate_tokens(answer), 0.0, is_estimated)
