"""The assistants' part of ChatService."""

from __future__ import annotations

from minirag_sdk.v1 import chat_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.assistants import FIELDS, decode_assistant, encode_assistant
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.assistants import AssistantService


class AssistantRpcs:
    _assistants: AssistantService

    async def CreateAssistant(
        self, request: pb.CreateAssistantRequest, context: ServicerContext
    ) -> pb.CreateAssistantResponse:
        with RequestCheck() as check:
            values = decode_assistant(check, "assistant", request.assistant, FIELDS)
            request_id = check.request_id("request_id", request.request_id)
        assistant = await self._assistants.create(
            current_tenant(),
            values,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateAssistantResponse(assistant=encode_assistant(assistant))

    async def GetAssistant(
        self, request: pb.GetAssistantRequest, context: ServicerContext
    ) -> pb.GetAssistantResponse:
        with RequestCheck() as check:
            assistant_id = check.id("assistant_id", IdKind.ASSISTANT, request.assistant_id)
        assistant = await self._assistants.get(current_tenant(), assistant_id)
        return pb.GetAssistantResponse(assistant=encode_assistant(assistant))

    async def ListAssistants(
        self, request: pb.ListAssistantsRequest, context: ServicerContext
    ) -> pb.ListAssistantsResponse:
        with RequestCheck() as check:
            query = read_id_page(check, request)
        page = await self._assistants.list_page(
            current_tenant(), after=query.after, limit=query.limit
        )
        response = pb.ListAssistantsResponse()
        response.next_page_token = query.fill(
            page, response.assistants, encode_assistant, lambda assistant: assistant.id
        )
        return response

    async def UpdateAssistant(
        self, request: pb.UpdateAssistantRequest, context: ServicerContext
    ) -> pb.UpdateAssistantResponse:
        wanted = request.assistant
        with RequestCheck() as check:
            assistant_id = check.id("assistant.id", IdKind.ASSISTANT, wanted.id)
            fields = check.update_mask(request.update_mask, FIELDS)
            values = decode_assistant(check, "assistant", wanted, fields)
            revision = check.etag("assistant.etag", assistant_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        assistant = await self._assistants.update(
            current_tenant(),
            assistant_id,
            values=values,
            fields=fields,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateAssistantResponse(assistant=encode_assistant(assistant))

    async def DeleteAssistant(
        self, request: pb.DeleteAssistantRequest, context: ServicerContext
    ) -> pb.DeleteAssistantResponse:
        with RequestCheck() as check:
            assistant_id = check.id("assistant_id", IdKind.ASSISTANT, request.assistant_id)
            revision = check.etag("etag", assistant_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._assistants.delete(
            current_tenant(),
            assistant_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteAssistantResponse()
