"""Events of a streamed answer."""

from __future__ import annotations

from minirag_sdk.v1 import chat_service_pb2 as pb

from minirag.api.mapping.conversations import encode_citation, encode_message
from minirag.api.mapping.retrieval import RETRIEVAL_MODES, encode_result
from minirag.domain.chats import ChatEvent, Cited, Completed, Delta, Retrieved, Started
from minirag.domain.ids import IdKind, encode_id


def encode_answer_event(sequence: int, event: ChatEvent) -> pb.SendMessageResponse:
    # By far the most are deltas.
    if isinstance(event, Delta):
        return pb.SendMessageResponse(sequence=sequence, delta=pb.AnswerDelta(text=event.text))
    if isinstance(event, Cited):
        return pb.SendMessageResponse(sequence=sequence, citation=encode_citation(event.citation))
    if isinstance(event, Started):
        return pb.SendMessageResponse(sequence=sequence, started=_started(event))
    if isinstance(event, Retrieved):
        return pb.SendMessageResponse(sequence=sequence, retrieval=_retrieval(event))
    return pb.SendMessageResponse(sequence=sequence, completed=_completed(event))


def _started(event: Started) -> pb.AnswerStarted:
    return pb.AnswerStarted(
        conversation_id=encode_id(IdKind.CONVERSATION, event.conversation_id),
        user_message_id=encode_id(IdKind.MESSAGE, event.question_message_id),
        message_id=encode_id(IdKind.MESSAGE, event.answer_message_id),
        generation_id=encode_id(IdKind.GENERATION, event.generation_id),
        model=event.model,
    )


def _retrieval(event: Retrieved) -> pb.AnswerRetrieval:
    return pb.AnswerRetrieval(
        query=event.query,
        results=[encode_result(result) for result in event.chunks],
        mode_used=RETRIEVAL_MODES[event.mode_used],
    )


def _completed(event: Completed) -> pb.AnswerCompleted:
    return pb.AnswerCompleted(message=encode_message(event.message))
