"""Which sentences answer a question best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from minirag.adapters.models.passage_sentences import read_sentences
from minirag.adapters.models.question_terms import QuestionTerms, Terms
from minirag.services.ports.models import Passage

MOST_SENTENCES = 4
_WORTH_ADDING = 0.6
"""A further sentence must score so much of the best one's score."""
_SAME = 0.8
"""Share of common terms (Jaccard index) from which two sentences say the same. High, for sentences that
differ in one word, a number say, may contradict each other, and a reader should see both."""
_CONTEXT_WEIGHT = 0.5
_RANK_SHARE = 0.3
"""How much of the score follows the passage's rank in retrieval."""
_SHORTEST = 20
_LONGEST = 400
"""Characters of a sentence that reads well in an answer; shorter and longer ones score less."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of the passage with that number."""

    number: int
    text: str
    terms: Terms
    subject_terms: Terms
    context_terms: Terms
    is_prose: bool


def read_candidates(passage: Passage, question: QuestionTerms) -> list[Candidate]:
    context, context_terms = "", question.terms_of("")
    candidates = []
    for sentence in read_sentences(passage.text):
        if sentence.context != context:
            context, context_terms = sentence.context, question.terms_of(sentence.context)
        terms = subject_terms = question.terms_of(sentence.text)
        if sentence.subject != sentence.text:
            subject_terms = question.terms_of(sentence.subject)
        candidates.append(
            Candidate(
                passage.number,
                sentence.text,
                terms,
                subject_terms,
                context_terms,
                sentence.is_prose,
            )
        )
    return candidates


def choose_sentences(candidates: Sequence[Candidate], asked: Terms) -> list[Candidate]:
    """Return up to `MOST_SENTENCES` candidates, the best first and one per passage at most.

    One per passage, as a citation number stands for one quotation: a second sentence under the same
    number would be shown with the first one's quotation.

    The score is the share of the question's terms that the sentence holds, each weighted by its inverse
    frequency among all candidates; terms that only its context holds count half. Headings and code are
    chosen only where no sentence of prose scores. Empty when no candidate has a term in common.
    """
    weights = _weights(candidates, asked)
    scored = [(score, c) for c in candidates if (score := _score(c, weights)) > 0]
    prose = [pair for pair in scored if pair[1].is_prose]
    ranked = sorted(prose or scored, key=lambda pair: (-pair[0], pair[1].number))
    chosen: list[Candidate] = []
    for score, candidate in ranked:
        if len(chosen) == MOST_SENTENCES or score < _WORTH_ADDING * ranked[0][0]:
            break
        if not any(c.number == candidate.number or _is_same(c, candidate) for c in chosen):
            chosen.append(candidate)
    return chosen


def _weights(candidates: Sequence[Candidate], asked: Terms) -> dict[int, float]:
    """Inverse document frequency as in BM25 (Robertson & Zaragoza, 2009); sums to 1."""
    frequency = Counter(term for candidate in candidates for term in candidate.terms & asked)
    weights = {
        term: math.log1p((len(candidates) - frequency[term] + 0.5) / (frequency[term] + 0.5))
        for term in sorted(asked)
    }
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()}


def _score(candidate: Candidate, weights: dict[int, float]) -> float:
    relevance = sum(
        weight
        if term in candidate.subject_terms
        else _CONTEXT_WEIGHT * weight * (term in candidate.context_terms)
        for term, weight in weights.items()
    )
    length = len(candidate.text)
    form = 0.8 if length < _SHORTEST else min(1.0, _LONGEST / length)
    rank = 1 - _RANK_SHARE + _RANK_SHARE / candidate.number
    return relevance * form * rank


def _is_same(one: Candidate, other: Candidate) -> bool:
    common = len(one.terms & other.terms)
    return common >= _SAME * len(one.terms | other.terms)
