"""Assistants."""

from __future__ import annotations

from minirag_sdk.v1 import chat_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.retrieval import decode_retrieval, encode_retrieval
from minirag.api.validation import RequestCheck
from minirag.domain.chats import Assistant
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.retrieval import RetrievalSettings
from minirag.services.assistants import AssistantValues

MAX_NAME = 200
MAX_INSTRUCTIONS = 20_000
MAX_MODEL = 200
MAX_TEMPERATURE = 2.0
MAX_OUTPUT_TOKENS = 200_000
MAX_COLLECTIONS = 100

FIELDS = frozenset(
    {
        "display_name",
        "instructions",
        "model",
        "temperature",
        "max_output_tokens",
        "collection_ids",
        "retrieval",
    }
)
"""What an update may change; the names are those of `AssistantValues` too."""


def decode_assistant(
    check: RequestCheck, field: str, assistant: pb.Assistant, wanted: frozenset[str]
) -> AssistantValues:
    """Return the values of the `wanted` fields; the others are neither checked nor to be used."""

    def chosen(name: str) -> bool:
        return name in wanted

    path = f"{field}."
    temperature: float | None = None
    if chosen("temperature") and assistant.HasField("temperature"):
        temperature = check.number(
            path + "temperature", assistant.temperature, least=0, most=MAX_TEMPERATURE
        )
    return AssistantValues(
        display_name=check.required_text(
            path + "display_name", assistant.display_name, longest=MAX_NAME
        )
        if chosen("display_name")
        else "",
        instructions=check.text(
            path + "instructions", assistant.instructions, longest=MAX_INSTRUCTIONS
        )
        if chosen("instructions")
        else "",
        model=check.text(path + "model", assistant.model, longest=MAX_MODEL)
        if chosen("model")
        else "",
        temperature=temperature,
        max_output_tokens=check.integer(
            path + "max_output_tokens",
            assistant.max_output_tokens,
            least=0,
            most=MAX_OUTPUT_TOKENS,
        )
        if chosen("max_output_tokens")
        else 0,
        collection_ids=check.ids(
            path + "collection_ids",
            IdKind.COLLECTION,
            assistant.collection_ids,
            most=MAX_COLLECTIONS,
        )
        if chosen("collection_ids")
        else (),
        retrieval=decode_retrieval(check, path + "retrieval", assistant.retrieval)
        if chosen("retrieval")
        else RetrievalSettings(),
    )


def encode_assistant(assistant: Assistant) -> pb.Assistant:
    return pb.Assistant(
        id=encode_id(IdKind.ASSISTANT, assistant.id),
        display_name=assistant.display_name,
        instructions=assistant.instructions,
        model=assistant.model,
        temperature=assistant.temperature,
        max_output_tokens=assistant.max_output_tokens,
        collection_ids=[encode_id(IdKind.COLLECTION, one) for one in assistant.collection_ids],
        retrieval=encode_retrieval(assistant.retrieval),
        create_time=assistant.create_time,
        update_time=assistant.update_time,
        etag=encode_etag(assistant.id, assistant.revision),
    )
