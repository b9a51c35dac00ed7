"""From a file of any format to a streamed answer whose citations can be checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.mock_provider import MockProvider
from tests.support.client import Client, create_tenant
from tests.support.files import make_docx, make_pdf
from tests.support.node import NodeProcess
from tests.support.rows import fetch_value
from tests.support.servers import open_directory

MARKDOWN = """# Lantern

## Wartung

Die Laterne in Zürich wird alle vierzehn Tage geölt — auch im Winter. 🏮

## Storage

The lantern is stored in the cellar beneath the café.
"""
HTML = """<html><head><title>Observatory</title></head><body><nav>Home</nav><article>
<h1>Observatory</h1><p>The observatory dome opens at 21:40 when the sky over Łódź is clear.</p>
<p>Visitors bring a coat, as the gallery isn't heated at any time of the year.</p>
</article></body></html>"""
CSV = "station,elevation\nÅre,380 metres\nKiruna,530 metres\n"
JSON = json.dumps({"crew": "The vessel Vasa had four hundred thirty-seven sailors"}).encode()
PLAIN = "Подводная лодка погружается на триста метров.\n\nThe periscope rises every six minutes.\n"
# Longer than a chunk, so that the passage in the middle of a page doesn't reach into the next.
FILLER = [f"Table {n} of the tides lists the high water of day {n}." for n in range(60)]
PDF_PAGES = (
    " ".join(FILLER),
    " ".join([*FILLER[:30], "The comet returns in 2061 above Zürich.", *FILLER[30:]]),
)
PDF = make_pdf(PDF_PAGES)
DOCX = make_docx(
    [(1, "Herbarium"), "Der Enzian blüht im Juli; 龙胆 is its Chinese name.", [["leaf", "oval"]]]
)
QUESTIONS = {
    "lantern.md": "Where is the lantern stored in the cellar?",
    "observatory.html": "When does the observatory dome open?",
    "stations.csv": "What elevation has Kiruna?",
    "vessel.json": "How many crew sailors had the vessel Vasa?",
    "submarine.txt": "How often does the periscope rise?",
    "almanac.pdf": "When does the comet return above Zürich?",
    "herbarium.docx": "Wann blüht der Enzian?",
}


@dataclass(frozen=True)
class Library:
    """A tenant with one document of each format, READY."""

    client: Client
    collection_id: str
    documents: dict[str, document_pb.Document]
    """By file name."""

    def name_of(self, document_id: str) -> str:
        return next(name for name, d in self.documents.items() if d.id == document_id)


@pytest.fixture(scope="module")
async def library(node: NodeProcess) -> AsyncIterator[Library]:
    async with await create_tenant(node.address, node.platform_key) as client:
        collection = await client.create_collection("Library")
        sent = [
            await client.create(collection, MARKDOWN, file_name="lantern.md"),
            await client.upload(collection, HTML.encode(), file_name="observatory.html"),
            await client.create(collection, data=CSV.encode(), file_name="stations.csv"),
            await client.upload(collection, JSON, part=7, file_name="vessel.json"),
            await client.upload(collection, PLAIN.encode("cp1251"), file_name="submarine.txt"),
            await client.upload(
                collection,
                PDF,
                file_name="almanac.pdf",
                byte_size=len(PDF),
                sha256=hashlib.sha256(PDF).hexdigest(),
            ),
            await client.create(collection, data=DOCX, file_name="herbarium.docx"),
        ]
        ready = await client.wait_ready(*(document.id for document in sent))
        yield Library(client, collection, {d.file_name: ready[d.id] for d in sent})


def test_each_format_becomes_ready_as_what_its_bytes_are(library: Library) -> None:
    types = {name: document.media_type for name, document in library.documents.items()}

    assert types == {
        "lantern.md": "text/markdown",
        "observatory.html": "text/html",
        "stations.csv": "text/csv",
        "vessel.json": "application/json",
        "submarine.txt": "text/plain",
        "almanac.pdf": "application/pdf",
        "herbarium.docx": (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        ),
    }
    for document in library.documents.values():
        assert document.published_version_id == document.version_id
        assert document.chunks_indexed == document.chunk_count > 0
    assert library.documents["almanac.pdf"].page_count == 2


async def test_every_chunk_is_the_text_at_its_span(library: Library) -> None:
    for document in library.documents.values():
        text = (await library.client.read_text(document.id)).encode()
        chunks = await library.client.list_chunks(document.id)

        assert len(text) == document.text_bytes
        assert len(chunks) == document.chunk_count
        for chunk in chunks:
            assert text[chunk.span.start : chunk.span.end] == chunk.text.encode()


async def test_text_of_every_alphabet_survives(library: Library) -> None:
    texts = {
        name: await library.client.read_text(document.id)
        for name, document in library.documents.items()
    }

    assert "alle vierzehn Tage geölt — auch im Winter. 🏮" in texts["lantern.md"]
    assert "sky over Łódź is clear" in texts["observatory.html"]
    assert "Åre" in texts["stations.csv"]
    assert "Подводная лодка погружается" in texts["submarine.txt"]
    assert "above Zürich" in texts["almanac.pdf"]
    assert "龙胆" in texts["herbarium.docx"]


async def test_both_legs_of_the_search_contribute(library: Library) -> None:
    found = await library.client.search("When does the comet return?", library.collection_id)

    best = found.results[0]
    assert found.mode_used == document_pb.RETRIEVAL_MODE_HYBRID
    assert library.name_of(best.chunk.document_id) == "almanac.pdf"
    assert best.HasField("lexical")
    assert best.lexical.rank == 1
    assert best.lexical.score > 0
    assert best.HasField("dense")
    assert best.dense.rank == 1
    assert 0 < best.dense.score <= 1
    assert [r.score for r in found.results] == sorted(
        (r.score for r in found.results), reverse=True
    )


async def test_each_leg_searches_alone(library: Library) -> None:
    lexical = await library.client.search("periscope", mode=document_pb.RETRIEVAL_MODE_LEXICAL)
    dense = await library.client.search("periscope", mode=document_pb.RETRIEVAL_MODE_DENSE)

    assert lexical.mode_used == document_pb.RETRIEVAL_MODE_LEXICAL
    assert dense.mode_used == document_pb.RETRIEVAL_MODE_DENSE
    for found, used, unused in ((lexical, "lexical", "dense"), (dense, "dense", "lexical")):
        assert library.name_of(found.results[0].chunk.document_id) == "submarine.txt"
        assert found.results[0].HasField(used)
        assert not any(result.HasField(unused) for result in found.results)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_citation_is_the_text_that_it_points_to(library: Library, name: str) -> None:
    answer = await library.client.ask(QUESTIONS[name])

    assert len(answer.citations) == 1
    citation = answer.citations[0]
    document = library.documents[name]
    text = (await library.client.read_text(document.id)).encode()
    assert citation.document_id == document.id
    assert citation.version_id == document.version_id
    assert citation.collection_id == library.collection_id
    assert f"[{citation.number}]" in answer.text
    assert citation.quote
    assert text[citation.span.start : citation.span.end] == citation.quote.encode()
    part = await library.client.documents.GetDocumentText(
        document_pb.GetDocumentTextRequest(
            document_id=document.id, version_id=citation.version_id, span=citation.span
        )
    )
    assert part.text == citation.quote
    assert part.span == citation.span


async def test_citation_of_a_pdf_names_the_page(library: Library) -> None:
    answer = await library.client.ask(QUESTIONS["almanac.pdf"])
    other = await library.client.ask(QUESTIONS["lantern.md"])

    assert answer.citations[0].pages == document_pb.PageRange(first=2, last=2)
    assert "returns in 2061" in answer.citations[0].quote
    assert not other.citations[0].HasField("pages")
    assert other.citations[0].heading_path[0] == "Lantern"


async def test_answer_is_streamed_in_order_and_kept_as_it_was_said(library: Library) -> None:
    answer = await library.client.ask(QUESTIONS["submarine.txt"])

    kinds = answer.kinds
    assert kinds[:2] == ["started", "retrieval"]
    assert kinds[-1] == "completed"
    assert kinds.count("delta") > 3
    assert set(kinds[2:-1]) == {"delta", "citation"}
    assert [event.sequence for event in answer.events] == list(range(1, len(kinds) + 1))
    kept = await library.client.list_messages(answer.started.conversation_id)
    assert [m.role for m in kept] == [chat_pb.MESSAGE_ROLE_USER, chat_pb.MESSAGE_ROLE_ASSISTANT]
    assert kept[0].content == QUESTIONS["submarine.txt"]
    assert kept[1] == answer.message
    assert answer.message.content == answer.text == "The periscope rises every six minutes. [1]"
    assert answer.message.state == chat_pb.GENERATION_STATE_COMPLETED
    assert answer.message.finish_reason == chat_pb.FINISH_REASON_STOP
    assert list(answer.message.citations) == answer.citations


async def test_first_piece_arrives_before_the_last_one_exists(
    library: Library, mock_provider: MockProvider
) -> None:
    assistant = await library.client.create_assistant("mock-chat.gate-3.tokens-9")
    request = chat_pb.SendMessageRequest(content=QUESTIONS["submarine.txt"], assistant_id=assistant)
    events: list[chat_pb.SendMessageResponse] = []

    async for event in library.client.chats.SendMessage(request):
        events.append(event)
        said = "".join(e.delta.text for e in events)
        if said == "The periscope rises":
            waiting = await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == 1)
            mock_provider.release()

    assert waiting.waiting_at_gates == 1
    assert events[-1].completed.message.content == said
    assert len(said.split()) == 9


async def test_assistant_answers_with_its_own_model_and_instructions(
    library: Library, mock_provider: MockProvider
) -> None:
    assistant = await library.client.create_assistant(
        "mock-chat.say-arr_matey",
        instructions="Speak like a pirate from Tromsø.",
        temperature=0.25,
        max_output_tokens=77,
        collection_ids=[library.collection_id],
    )

    answer = await library.client.ask("Hello?", assistant_id=assistant)

    asked = mock_provider.requests()[-1]
    assert answer.text == "arr matey"
    assert answer.message.model == answer.started.model == "openai/mock-chat.say-arr_matey"
    assert asked.authorization == "Bearer sk-test-provider"
    assert asked.body["temperature"] == 0.25
    assert asked.body["max_tokens"] == 77
    assert "pirate from Tromsø" in json.dumps(asked.body["messages"], ensure_ascii=False)


async def test_conversation_goes_on_with_what_was_said(
    library: Library, mock_provider: MockProvider
) -> None:
    first = await library.client.ask(QUESTIONS["vessel.json"])

    second = await library.client.ask(
        "And when does the comet return?", conversation_id=first.started.conversation_id
    )

    prompt = json.dumps(mock_provider.requests()[-1].body["messages"])
    kept = await library.client.list_messages(first.started.conversation_id)
    assert second.started.conversation_id == first.started.conversation_id
    assert len(kept) == 4
    assert QUESTIONS["vessel.json"] in prompt
    assert "four hundred thirty-seven" in first.text
    assert "2061" in second.text


async def test_usage_and_cost_are_kept_with_the_answer(library: Library, node: NodeProcess) -> None:
    priced = await library.client.create_assistant("gpt-4o-mini")

    known = await library.client.ask(QUESTIONS["vessel.json"], assistant_id=priced)
    unknown = await library.client.ask(QUESTIONS["vessel.json"])

    usage = known.message.usage
    assert usage.input_tokens > 50
    assert usage.output_tokens == len(known.text.split())
    assert not usage.estimated
    # 0.15 and 0.60 US dollars for a million tokens.
    expected = usage.input_tokens * 0.15e-6 + usage.output_tokens * 0.6e-6
    assert usage.cost_usd == pytest.approx(expected)
    assert unknown.message.usage.input_tokens > 50
    assert not unknown.message.usage.HasField("cost_usd")
    recorded = await fetch_value(
        node.database_url,
        library.client.tenant_id,
        "SELECT count(*) FROM usage_records WHERE kind = 'CHAT' AND model = 'openai/gpt-4o-mini'"
        " AND cost_usd IS NOT NULL",
    )
    assert recorded == 1


@pytest.fixture(scope="module")
def offline_node() -> Iterator[NodeProcess]:
    """A node without any model."""
    with open_directory() as directory:
        node = NodeProcess(directory)
        try:
            node.start()
            yield node
        finally:
            node.close()


async def test_without_models_answers_are_quoted_and_search_is_lexical(
    offline_node: NodeProcess,
) -> None:
    async with await create_tenant(offline_node.address, offline_node.platform_key) as client:
        collection = await client.create_collection()
        document = await client.create(collection, MARKDOWN, file_name="lantern.md")
        await client.wait_ready(document.id)

        found = await client.search("lantern cellar")
        answer = await client.ask("Where is the lantern stored?")

        text = (await client.read_text(document.id)).encode()
    assert found.mode_used == document_pb.RETRIEVAL_MODE_LEXICAL
    assert answer.retrieval.mode_used == document_pb.RETRIEVAL_MODE_LEXICAL
    assert not found.results[0].HasField("dense")
    assert answer.message.model == "extractive"
    assert "stored in the cellar beneath the café" in answer.text
    citation = answer.citations[0]
    assert text[citation.span.start : citation.span.end] == citation.quote.encode()
    assert answer.message.usage.cost_usd == 0
