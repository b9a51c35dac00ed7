"""The pieces of a streamed answer, read from what LiteLLM's `acompletion` returned.

For OpenAI-compatible providers LiteLLM's wrapper and the OpenAI client each build pydantic objects for
every token: 0.3 ms of CPU per token. Reading the same HTTP response's events directly takes 0.02 ms, so
that is done where the response is at hand; every other provider is read through the wrapper.

Pieces come in batches, one for each arrival from the network: waiting, with its limits, costs more than
reading a token, and tokens that arrived together needn't be waited for one by one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any, NamedTuple

from minirag.adapters.models.failures import BrokenStreamError


# Not a dataclass: one is made for every token, and a frozen one takes three times as long to make.
class AnswerPiece(NamedTuple):
    """Some of: text, the reason why the answer ended, and the provider's count of tokens."""

    text: str = ""
    finish_reason: str | None = None
    tokens: tuple[int, int] | None = None
    """Input and output."""


def read_pieces(stream: Any) -> AsyncGenerator[list[AnswerPiece], None]:  # LiteLLM's wrapper
    """Read a LiteLLM stream to its end, a batch at a time, none empty; the caller closes both this and
    the stream."""
    response = getattr(getattr(stream, "completion_stream", None), "response", None)
    if hasattr(response, "aiter_bytes"):
        return _read_events(response)
    return _read_chunks(stream)


async def _read_events(response: Any) -> AsyncGenerator[list[AnswerPiece], None]:  # httpx
    rest = b""
    # Cut at line feeds only: httpx's own lines also end at U+2028 and the like, which JSON may hold.
    async for received in response.aiter_bytes():
        *lines, rest = (rest + received).split(b"\n")
        pieces: list[AnswerPiece] = []
        try:
            _read_lines(lines, pieces)
        except BrokenStreamError:
            if pieces:  # what came before the fault was said
                yield pieces
            raise
        if pieces:
            yield pieces
    pieces = []
    _read_lines([rest], pieces)
    if pieces:
        yield pieces


def _read_lines(lines: Iterable[bytes], pieces: list[AnswerPiece]) -> None:
    """Append what the lines say to `pieces`, also when one of them raises `BrokenStreamError`."""
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            continue  # the end of the response follows, and lets the connection be used again
        piece = _read_event(data)
        if piece is not None:
            pieces.append(piece)


def _read_event(data: bytes) -> AnswerPiece | None:
    try:
        event = json.loads(data.decode())
        if error := event.get("error"):
            raise _reported(error)
        usage = event.get("usage")
        tokens = (usage["prompt_tokens"], usage.get("completion_tokens", 0)) if usage else None
        choices = event.get("choices")
        if not choices:
            return AnswerPiece(tokens=tokens) if tokens else None
        text = (choices[0].get("delta") or {}).get("content") or ""
        return AnswerPiece(text, choices[0].get("finish_reason"), tokens)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BrokenStreamError(f"an event that can't be read: {type(error).__name__}") from None


def _reported(error: object) -> BrokenStreamError:
    """A failure that the provider reports inside its stream."""
    details = error if isinstance(error, dict) else {"message": error}
    code = str(details.get("code") or details.get("status") or "")
    message = str(details.get("message", "no message"))
    return BrokenStreamError(message, int(code) if code.isdecimal() else None)


async def _read_chunks(stream: Any) -> AsyncGenerator[list[AnswerPiece], None]:  # LiteLLM's wrapper
    finish_reason: str | None = None
    async for chunk in stream:
        usage: Any = getattr(chunk, "usage", None)
        # Without a count by the provider, LiteLLM puts its own estimate there.
        is_counted = usage is not None and any(
            getattr(kept, "usage", None) is not None for kept in stream.chunks
        )
        tokens = (usage.prompt_tokens, usage.completion_tokens) if is_counted else None
        choice = chunk.choices[0] if chunk.choices else None
        text = (choice.delta.content or "") if choice else ""
        finish_reason = (choice.finish_reason if choice else None) or finish_reason
        if text or tokens:
            yield [AnswerPiece(text, None, tokens)]
    # LiteLLM says "stop" at the end of a stream that was broken off, too; these tell the truth.
    told = getattr(stream, "received_finish_reason", finish_reason)
    if told is not None or getattr(stream, "intermittent_finish_reason", None) is not None:
        yield [AnswerPiece(finish_reason=finish_reason or "stop")]
