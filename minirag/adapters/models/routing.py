"""Which chat model answers: the built-in one or a provider's."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.usage import Usage
from minirag.services.ports.models import AnswerFinished, AnswerRequest, ChatModels, TextDelta


class RoutedChatModels:
    """`ChatModels` that gives `extractive` to the built-in model and any other name to the provider."""

    def __init__(self, extractive: ChatModels, provider: ChatModels) -> None:
        self._extractive = extractive
        self._provider = provider

    def answer(self, request: AnswerRequest) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        return self._models_for(request).answer(request)

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        return self._models_for(request).estimate_usage(request, answer)

    def _models_for(self, request: AnswerRequest) -> ChatModels:
        return self._extractive if request.model == EXTRACTIVE_MODEL else self._provider
