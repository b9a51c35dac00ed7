"""`minirag search`, `ask` and `chat`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


@pytest.fixture
def books(tenant: Cli, folder: Path) -> Cli:
    """A tenant with two documents in `Books` and nothing in `Empty`."""
    tenant.run("collection", "create", "Books")
    tenant.run("collection", "create", "Empty")
    tenant.run("upload", folder, "--collection", "Books")
    return tenant


def test_search_shows_where_each_passage_stands(books: Cli) -> None:
    result = books.run("search", "alpaca wool")

    assert result.stdout.startswith("1. alpacas.md  (score ")
    assert "sheared once a year" in result.stdout
    assert "Retrieval was lexical." in result.stderr


def test_search_keeps_to_the_named_collections_and_limit(books: Cli) -> None:
    found = books.json("search", "a volcano or an alpaca", "--limit", "1", "--mode", "lexical")

    assert len(found["results"]) == 1
    assert "results" not in books.json("search", "alpaca", "--collection", "Empty")
    assert "Nothing matches" in books.run("search", "alpaca", "--collection", "Empty").stderr


def test_answer_ends_with_its_sources_by_number(books: Cli) -> None:
    shown = books.run(
        "ask", "When is the wool of an alpaca sheared?", "--collection", "Books"
    ).stdout

    answer, _, notes = shown.partition("\n\n")
    assert "[1]" in answer
    assert notes.startswith("[1] alpacas.md\n")
    assert "“The wool of an alpaca is sheared once a year.”" in notes


def test_answer_as_json_is_the_events_of_the_contract(books: Cli) -> None:
    events = books.events("ask", "When is the wool of an alpaca sheared?")

    kinds = [next(iter(set(event) - {"sequence"})) for event in events]
    assert kinds[:2] == ["started", "retrieval"]
    assert "delta" in kinds
    assert kinds[-1] == "completed"
    text = "".join(event["delta"]["text"] for event in events if "delta" in event)
    assert events[-1]["completed"]["message"]["content"] == text


def test_chat_is_one_conversation_until_the_input_ends(books: Cli) -> None:
    events = books.events("chat", stdin="What is a volcano?\n\nWhat is wool?\n")

    started = [event["started"] for event in events if "started" in event]
    assert len(started) == 2
    assert started[0]["conversation_id"] == started[1]["conversation_id"]


def test_chat_goes_on_with_a_named_conversation(books: Cli) -> None:
    first = books.run("chat", stdin="What is a volcano?\n")
    conversation = first.stderr.split()[-1]

    events = books.events("chat", "--conversation", conversation, stdin="What is wool?\n")

    assert events[0]["started"]["conversation_id"] == conversation


def test_unknown_assistant_is_not_found(books: Cli) -> None:
    assert "--assistant" in books.run("ask", "who?", "--assistant", "Nobody", code=3).stderr


def test_too_long_question_is_refused_with_its_field(books: Cli) -> None:
    assert "content" in books.run("ask", "x" * 40_000, code=5).stderr
