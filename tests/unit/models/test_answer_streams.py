"""Events of an answer's stream, however the network cuts them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace

import pytest

from minirag.adapters.models.answer_streams import AnswerPiece, read_pieces
from minirag.adapters.models.failures import BrokenStreamError


def said(text: str) -> bytes:
    event = {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def stream_of(arrivals: Iterable[bytes]) -> SimpleNamespace:
    """What LiteLLM returns for a provider that speaks OpenAI's protocol."""

    async def aiter_bytes() -> AsyncIterator[bytes]:
        for received in arrivals:
            yield received

    response = SimpleNamespace(aiter_bytes=aiter_bytes)
    return SimpleNamespace(completion_stream=SimpleNamespace(response=response))


async def read(arrivals: Iterable[bytes]) -> list[list[str]]:
    return [[piece.text for piece in batch] async for batch in read_pieces(stream_of(arrivals))]


async def test_tokens_that_arrive_together_come_as_one_batch() -> None:
    arrivals = [said("one") + said(" two"), said(" three")]

    assert await read(arrivals) == [["one", " two"], [" three"]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
async def test_events_cut_anywhere_are_read_whole(size: int) -> None:
    whole = said("grün") + b": a comment\n\n" + said(" 日本") + b"data: [DONE]\n\n"

    batches = await read(whole[start : start + size] for start in range(0, len(whole), size))

    assert [text for batch in batches for text in batch] == ["grün", " 日本"]


async def test_last_event_without_a_line_end_is_read() -> None:
    assert await read([said("one"), said(" two").rstrip()]) == [["one"], [" two"]]


async def test_carriage_returns_before_line_feeds_are_no_part_of_an_event() -> None:
    assert await read([said("one").replace(b"\n", b"\r\n")]) == [["one"]]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
async def test_separators_of_unicode_within_a_token_end_no_line(separator: str) -> None:
    """JSON may hold them as they are, and a provider that doesn't escape sends them so."""
    assert await read([said(f"a{separator}b")]) == [[f"a{separator}b"]]


async def test_what_arrived_together_with_a_fault_was_said_before_it() -> None:
    batches: list[list[AnswerPiece]] = []

    with pytest.raises(BrokenStreamError):
        async for batch in read_pieces(stream_of([said("kept") + b"data: {no JSON\n\n"])):
            batches.append(batch)

    assert batches == [[AnswerPiece("kept")]]
