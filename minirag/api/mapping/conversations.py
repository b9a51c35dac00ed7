"""Conversations, their messages and citations."""

from __future__ import annotations

from minirag_sdk.v1 import chat_service_pb2 as pb
from minirag_sdk.v1.document_service_pb2 import TextSpan

from minirag.api.etags import encode_etag
from minirag.api.mapping.chunks import encode_pages
from minirag.domain.chats import (
    Citation,
    Conversation,
    FinishReason,
    GenerationState,
    Message,
    Role,
)
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.usage import Usage

ROLES = {role: f"MESSAGE_ROLE_{role}" for role in Role}
GENERATION_STATES = {state: f"GENERATION_STATE_{state}" for state in GenerationState}
FINISH_REASONS = {reason: f"FINISH_REASON_{reason}" for reason in FinishReason}


def encode_conversation(conversation: Conversation) -> pb.Conversation:
    assistant_id = conversation.assistant_id
    return pb.Conversation(
        id=encode_id(IdKind.CONVERSATION, conversation.id),
        assistant_id="" if assistant_id is None else encode_id(IdKind.ASSISTANT, assistant_id),
        title=conversation.title,
        create_time=conversation.create_time,
        update_time=conversation.update_time,
        etag=encode_etag(conversation.id, conversation.revision),
    )


def encode_message(message: Message) -> pb.Message:
    generation_id = message.generation_id
    return pb.Message(
        id=encode_id(IdKind.MESSAGE, message.id),
        conversation_id=encode_id(IdKind.CONVERSATION, message.conversation_id),
        role=ROLES[message.role],
        content=message.content,
        state=GENERATION_STATES[message.state],
        citations=[encode_citation(citation) for citation in message.citations],
        generation_id="" if generation_id is None else encode_id(IdKind.GENERATION, generation_id),
        model=message.model,
        usage=None if message.role is Role.USER else _usage(message.usage),
        finish_reason=FINISH_REASONS[message.finish_reason],
        error=message.error,
        create_time=message.create_time,
    )


def encode_citation(citation: Citation) -> pb.Citation:
    return pb.Citation(
        number=citation.number,
        chunk_id=encode_id(IdKind.CHUNK, citation.chunk_id),
        document_id=encode_id(IdKind.DOCUMENT, citation.document_id),
        version_id=encode_id(IdKind.DOCUMENT_VERSION, citation.version_id),
        collection_id=encode_id(IdKind.COLLECTION, citation.collection_id),
        document_display_name=citation.document_name,
        span=TextSpan(start=citation.start, end=citation.end),
        quote=citation.quote,
        pages=encode_pages(citation.page_first, citation.page_last),
        heading_path=citation.heading_path,
    )


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd,
        estimated=usage.is_estimated,
    )
