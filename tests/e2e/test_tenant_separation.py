"""Two tenants with the same words: neither ever meets what is the other's, nor learns that it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document
from minirag_sdk.v1 import tenant_service_pb2 as tenant

from tests.e2e.attempts import ATTEMPTS, QUESTION
from tests.support.client import Client, create_tenant
from tests.support.node import NodeProcess
from tests.support.refusals import Refusal, decode_refusal

TEXT = "The vault opens with the word {secret}.\n\nThe guard sleeps on Tuesdays near the vault.\n"
WATCH_SECONDS = 3.0


@dataclass(frozen=True)
class Estate:
    """A tenant with one of everything. The other's differs by the secret word alone."""

    client: Client
    secret: str
    collection: str
    document: str
    version: str
    assistant: str
    conversation: str
    key: str


async def build_estate(node: NodeProcess, secret: str) -> Estate:
    client = await create_tenant(node.address, node.platform_key)
    collection = await client.create_collection("Papers")
    made = await client.create(collection, TEXT.format(secret=secret), external_id="vault")
    ready = await client.wait_ready(made.id)
    assistant = await client.create_assistant("mock-chat", collection_ids=[collection])
    answer = await client.ask(QUESTION, assistant_id=assistant)
    keys = await client.tenants.ListApiKeys(tenant.ListApiKeysRequest())
    return Estate(
        client,
        secret,
        collection,
        made.id,
        ready[made.id].version_id,
        assistant,
        answer.started.conversation_id,
        keys.api_keys[0].id,
    )


@pytest.fixture(scope="module")
async def estates(node: NodeProcess) -> AsyncIterator[tuple[Estate, Estate]]:
    ours, theirs = await build_estate(node, "amber"), await build_estate(node, "cobalt")
    yield ours, theirs
    await ours.client.close()
    await theirs.client.close()


async def refused(call: Any, named: str) -> Refusal:
    """What a call was refused with, the id that it named taken out."""
    try:
        if isinstance(call, grpc.aio.UnaryStreamCall):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        found = decode_refusal(error)
        kind, name = found.resource or ("", "")
        return replace(
            found,
            message=found.message.replace(named, "<id>"),
            resource=(kind, name.replace(named, "<id>")),
        )
    raise AssertionError("the call succeeded")


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_foreign_id_is_answered_as_a_missing_one(
    estates: tuple[Estate, Estate], name: str
) -> None:
    ours, theirs = estates
    attempt = ATTEMPTS[name]
    foreign = getattr(theirs, attempt.kind)
    missing = f"{foreign.partition('_')[0]}_{uuid4().hex}"
    malformed = f"{foreign}x"

    answers = [
        await refused(attempt.make(ours.client, each), each)
        for each in (foreign, missing, malformed)
    ]

    assert answers[0].code is grpc.StatusCode.NOT_FOUND
    assert answers[0].reason == "RESOURCE_NOT_FOUND"
    assert "<id>" in answers[0].message
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


async def test_their_version_of_our_document_is_missing(estates: tuple[Estate, Estate]) -> None:
    ours, theirs = estates
    missing = f"ver_{uuid4().hex}"

    answers = [
        await refused(
            ours.client.documents.GetDocumentText(
                document.GetDocumentTextRequest(document_id=ours.document, version_id=version)
            ),
            version,
        )
        for version in (theirs.version, missing)
    ]

    assert answers[0].code is grpc.StatusCode.NOT_FOUND
    assert answers[0] == answers[1]


async def test_lists_hold_the_own_things_only(estates: tuple[Estate, Estate]) -> None:
    for estate in estates:
        client = estate.client
        collections = await client.documents.ListCollections(document.ListCollectionsRequest())
        assistants = await client.chats.ListAssistants(chat.ListAssistantsRequest())
        conversations = await client.chats.ListConversations(chat.ListConversationsRequest())
        keys = await client.tenants.ListApiKeys(tenant.ListApiKeysRequest())

        assert [each.id for each in collections.collections] == [estate.collection]
        assert collections.collections[0].document_count == 1
        assert [each.id for each in await client.list_documents()] == [estate.document]
        assert [each.id for each in assistants.assistants] == [estate.assistant]
        assert [each.id for each in conversations.conversations] == [estate.conversation]
        assert [each.id for each in keys.api_keys] == [estate.key]


@pytest.mark.parametrize(
    "mode",
    [
        document.RETRIEVAL_MODE_HYBRID,
        document.RETRIEVAL_MODE_LEXICAL,
        document.RETRIEVAL_MODE_DENSE,
    ],
)
async def test_searches_find_the_own_text_only(
    estates: tuple[Estate, Estate], mode: document.RetrievalMode
) -> None:
    for estate in estates:
        found = await estate.client.search("vault word amber cobalt", mode=mode, limit=100)

        assert found.results
        assert {result.chunk.document_id for result in found.results} == {estate.document}
        assert estate.secret in "".join(result.chunk.text for result in found.results)


async def test_answers_are_made_of_the_own_text_only(estates: tuple[Estate, Estate]) -> None:
    for estate in estates:
        answer = await estate.client.ask(QUESTION)

        assert answer.text == f"The vault opens with the word {estate.secret}. [1]"
        assert {r.chunk.document_id for r in answer.retrieval.results} == {estate.document}


async def test_watch_tells_nothing_of_the_other(estates: tuple[Estate, Estate]) -> None:
    ours, theirs = estates
    request = document.WatchDocumentsRequest(document_ids=[theirs.document, ours.document])
    everything = ours.client.documents.WatchDocuments(
        document.WatchDocumentsRequest(), timeout=WATCH_SECONDS
    )
    chosen = ours.client.documents.WatchDocuments(request, timeout=WATCH_SECONDS)
    streams = [aiter(everything), aiter(chosen)]
    seen: set[str] = set()
    for stream in streams * 2:
        seen.add((await anext(stream)).document.id)

    await theirs.client.documents.UpdateDocument(
        document.UpdateDocumentRequest(
            document=document.Document(id=theirs.document, display_name="Renamed"),
            update_mask=FieldMask(paths=["display_name"]),
        )
    )
    for stream in streams:
        with suppress(grpc.aio.AioRpcError):  # the deadline ends it
            async for event in stream:
                seen.add(event.document.id or event.deleted_document_id)

    assert seen == {ours.document, ""}


async def test_attempts_change_nothing_of_theirs(estates: tuple[Estate, Estate]) -> None:
    ours, theirs = estates
    before = [
        await theirs.client.get(theirs.document),
        await theirs.client.list_messages(theirs.conversation),
    ]

    for attempt in ATTEMPTS.values():
        foreign = getattr(theirs, attempt.kind)
        await refused(attempt.make(ours.client, foreign), foreign)

    assert before == [
        await theirs.client.get(theirs.document),
        await theirs.client.list_messages(theirs.conversation),
    ]
    assert len(await theirs.client.list_documents()) == 1
    answer = await theirs.client.ask(
        QUESTION, conversation_id=theirs.conversation, collection_ids=[theirs.collection]
    )
    assert theirs.secret in answer.text


async def test_same_external_id_is_two_documents(estates: tuple[Estate, Estate]) -> None:
    ours, theirs = estates

    texts = [await each.client.read_text(each.document) for each in estates]

    assert ours.document != theirs.document
    assert texts == [TEXT.format(secret=each.secret) for each in estates]
