"""Which model answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from minirag.adapters.models.routing import RoutedChatModels
from minirag.domain.chats import FinishReason
from minirag.domain.usage import NO_USAGE, Usage
from minirag.services.ports.models import AnswerFinished, AnswerRequest, TextDelta
from tests.unit.models.asking import a_request


class NamedModel:
    """Answers with its own name, and counts it as usage."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def answer(
        self, request: AnswerRequest
    ) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        yield TextDelta(self._name)
        yield AnswerFinished(NO_USAGE, FinishReason.STOP)

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        return Usage(output_tokens=len(self._name))


@pytest.mark.parametrize(
    ("model", "answers"),
    [("extractive", "built-in"), ("openai/extractive", "provider"), ("gpt-4o-mini", "provider")],
)
async def test_only_the_name_extractive_stays_in_the_house(model: str, answers: str) -> None:
    routed = RoutedChatModels(NamedModel("built-in"), NamedModel("provider"))
    request = replace(a_request("question", []), model=model)

    events = [event async for event in routed.answer(request)]

    assert events[0] == TextDelta(answers)
    assert routed.estimate_usage(request, "").output_tokens == len(answers)
