"""ChatService: assistants, conversations and answers; each aggregate's RPCs in a module of their own."""

from __future__ import annotations

from contextlib import aclosing

from minirag_sdk.v1 import chat_service_pb2 as pb
from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceServicer

from minirag.api.assistant_rpcs import AssistantRpcs
from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.conversation_rpcs import ConversationRpcs
from minirag.api.deadlines import time_left
from minirag.api.mapping.answer_events import encode_answer_event
from minirag.api.mapping.retrieval import decode_retrieval
from minirag.api.request_keys import request_key
from minirag.api.resume_tokens import read_revision
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.answering import AnsweringService
from minirag.services.asking import Question
from minirag.services.assistants import AssistantService
from minirag.services.conversations import ConversationService
from minirag.services.freshness import RevisionWaiter

MAX_CONTENT = 32_000
MAX_COLLECTIONS = 100


class ChatServicer(AssistantRpcs, ConversationRpcs, ChatServiceServicer):
    def __init__(
        self,
        assistants: AssistantService,
        conversations: ConversationService,
        answers: AnsweringService,
        revisions: RevisionWaiter,
    ) -> None:
        self._assistants = assistants
        self._conversations = conversations
        self._answers = answers
        self._revisions = revisions

    async def SendMessage(self, request: pb.SendMessageRequest, context: ServicerContext) -> None:
        retrieval = None
        with RequestCheck() as check:
            content = check.required_text("content", request.content, longest=MAX_CONTENT)
            conversation_id = check.optional_id(
                "conversation_id", IdKind.CONVERSATION, request.conversation_id
            )
            assistant_id = check.optional_id("assistant_id", IdKind.ASSISTANT, request.assistant_id)
            collection_ids = check.ids(
                "collection_ids", IdKind.COLLECTION, request.collection_ids, most=MAX_COLLECTIONS
            )
            if request.HasField("retrieval"):
                retrieval = decode_retrieval(check, "retrieval", request.retrieval)
            revision = read_revision(check, "min_revision", request.min_revision)
            request_id = check.request_id("request_id", request.request_id)
        if revision is not None:
            await self._revisions.wait(current_tenant(), revision, timeout=time_left(context))
        events = self._answers.answer(
            current_tenant(),
            Question(content, conversation_id, assistant_id, collection_ids, retrieval),
            request=request_key(current_call().method, request, request_id),
            timeout=time_left(context),
        )
        sequence = 0
        # Leaving the block closes the generator at once: a client that is gone costs no more tokens.
        async with aclosing(events):
            async for event in events:
                sequence += 1
                await context.write(encode_answer_event(sequence, event))
