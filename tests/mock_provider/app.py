"""The HTTP endpoints, and how a behaviour becomes bytes on a connection."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import zlib
from array import array
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tests.mock_provider import texts
from tests.mock_provider.behaviour import Behaviour, UnknownBehaviourError, parse_behaviour
from tests.mock_provider.record import Record, RecordedRequest

RECORD = web.AppKey("record", Record)
WRONG_KEYS = "sk-wrong"
"""Keys that begin so are refused, and quoted in the refusal as real providers do."""
_FOREVER = 3600.0
_READING_TIME = 0.5


def build_app() -> web.Application:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[RECORD] = Record()
    app.add_routes(
        [
            web.post("/v1/chat/completions", _chat),
            web.post("/v1/embeddings", _embeddings),
            web.get("/v1/models", _models),
            web.get("/stats", _stats),
            web.get("/requests", _requests),
            web.post("/reset", _reset),
            web.post("/release", _release),
        ]
    )
    return app


# --- the provider's endpoints -------------------------------------------------------------------


async def _chat(request: web.Request) -> web.StreamResponse:
    record = request.app[RECORD]
    body = await _read_body(request)
    record.chat_calls += 1
    with record.open_call():
        answer = _ChatAnswer(request, record, body)
        try:
            return await answer.respond()
        except (asyncio.CancelledError, ConnectionError):
            record.note_disconnect(answer.model, answer.sent)
            raise


async def _embeddings(request: web.Request) -> web.StreamResponse:
    record = request.app[RECORD]
    body = await _read_body(request)
    record.embedding_calls += 1
    model = str(body.get("model", ""))
    with record.open_call():
        try:
            early, behaviour = await _begin(request, record, model, body)
            if early is None and behaviour.first:
                await asyncio.sleep(behaviour.first)
            return early or _embed(record, behaviour, body)
        except (asyncio.CancelledError, ConnectionError):
            record.note_disconnect(model, 0)
            raise


async def _models(_request: web.Request) -> web.Response:
    names = ("mock-chat", "mock-embed")
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "mock"} for name in names]
    return web.json_response({"object": "list", "data": data})


# --- the tests' endpoints -----------------------------------------------------------------------


def describe(record: Record) -> dict[str, Any]:
    """The counters as JSON can hold them."""
    return {
        "chat_calls": record.chat_calls,
        "embedding_calls": record.embedding_calls,
        "texts_embedded": record.texts_embedded,
        "calls_by_model": dict(record.calls_by_model),
        "refused_by_model": dict(record.refused_by_model),
        "repeats_by_model": dict(record.repeats_by_model),
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "prompt_tokens_by_model": dict(record.prompt_tokens_by_model),
        "completion_tokens_by_model": dict(record.completion_tokens_by_model),
        "open_calls": record.open_calls,
        "most_open_calls": record.most_open_calls,
        "waiting_at_gates": record.waiting_at_gates,
        "disconnects": [asdict(disconnect) for disconnect in record.disconnects],
    }


async def _stats(request: web.Request) -> web.Response:
    return web.json_response(describe(request.app[RECORD]))


async def _requests(request: web.Request) -> web.Response:
    return web.json_response([asdict(kept) for kept in request.app[RECORD].requests])


async def _reset(request: web.Request) -> web.Response:
    request.app[RECORD].reset()
    return web.json_response({})


async def _release(request: web.Request) -> web.Response:
    request.app[RECORD].release()
    return web.json_response({})


# --- what all calls share -----------------------------------------------------------------------


async def _read_body(request: web.Request) -> dict[str, Any]:
    body: dict[str, Any] = await request.json()
    record = request.app[RECORD]
    record.calls_by_model[str(body.get("model", ""))] += 1
    authorization = request.headers.get("Authorization", "")
    record.requests.append(RecordedRequest(request.path, authorization, body))
    return body


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": "mock_error", "param": None, "code": str(status)}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _begin(
    request: web.Request, record: Record, model: str, body: dict[str, Any]
) -> tuple[web.Response | None, Behaviour]:
    """The behaviour, and the response already if it is an error."""
    try:
        behaviour = parse_behaviour(model)
    except UnknownBehaviourError as error:
        return _error(404, str(error)), Behaviour()
    if behaviour.hang:
        await asyncio.sleep(_FOREVER)
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    said = str(body.get("messages") or body.get("input"))[-600:]
    if key.startswith(WRONG_KEYS):
        return _error(401, f"Incorrect API key provided: {key}; you sent {said}"), behaviour
    retry = {"Retry-After": behaviour.retry} if behaviour.retry else None
    calls = record.calls_by_model[model]
    if calls <= behaviour.flaky or zlib.crc32(f"call {calls}".encode()) % 100 < behaviour.refuse:
        record.refused_by_model[model] += 1
        return _error(429, "Rate limit reached, slow down", retry), behaviour
    if behaviour.status != 200:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        message = f"mock status {behaviour.status}; you sent the key {key} and {said}"
        return _error(behaviour.status, message, retry), behaviour
    if behaviour.badjson:
        return web.Response(body=b"<html>not json", content_type="application/json"), behaviour
    return None, behaviour


# --- embeddings ---------------------------------------------------------------------------------


def _embed(record: Record, behaviour: Behaviour, body: dict[str, Any]) -> web.Response:
    as_base64 = body.get("encoding_format") == "base64"
    if as_base64 and behaviour.nobase64:
        return _error(400, "encoding_format: base64 is not supported")
    given = body.get("input", [])
    inputs = [given] if isinstance(given, str) else list(given)
    dimensions = int(body.get("dimensions") or behaviour.dim)
    vectors = [texts.embed(str(text), dimensions) for text in inputs]
    if behaviour.short:
        vectors.pop()
    if behaviour.ragged:
        vectors[-1].pop()
    if behaviour.nan:
        vectors[0][0] = math.nan
    words = sum(texts.count_tokens(str(text)) for text in inputs)
    record.note_embedded(str(body["model"]), inputs)
    record.count_prompt(str(body["model"]), words)
    return web.json_response(
        {
            "object": "list",
            "model": body["model"],
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _base64(vector) if as_base64 else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": words, "total_tokens": words},
        }
    )


def _base64(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


# --- chat ---------------------------------------------------------------------------------------


class _ChatAnswer:
    """One chat call; `sent` counts the tokens that were written."""

    def __init__(self, request: web.Request, record: Record, body: dict[str, Any]) -> None:
        self._request = request
        self._record = record
        self._body = body
        self.model = str(body.get("model", ""))
        self.sent = 0

    async def respond(self) -> web.StreamResponse:
        early, behaviour = await _begin(self._request, self._record, self.model, self._body)
        streams = bool(self._body.get("stream"))
        if early is not None:
            return early
        messages = self._body.get("messages", [])
        tokens = texts.answer_for(behaviour, messages)
        finish = behaviour.finish
        limit = self._body.get("max_tokens") or self._body.get("max_completion_tokens")
        if limit and len(tokens) > int(limit):
            tokens, finish = tokens[: int(limit)], "length"
        prompt_tokens = sum(texts.count_tokens(str(m.get("content", ""))) for m in messages)
        self._record.count_prompt(self.model, prompt_tokens)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(tokens),
            "total_tokens": prompt_tokens + len(tokens),
        }
        if streams:
            return await self._stream(behaviour, tokens, finish, usage)
        await asyncio.sleep(behaviour.first + behaviour.gap * max(len(tokens) - 1, 0))
        self._count(len(tokens))
        message = {"role": "assistant", "content": "".join(tokens)}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        reply = {**self._envelope("chat.completion"), "choices": [choice]}
        return web.json_response(reply if behaviour.nousage else {**reply, "usage": usage})

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-mock", "object": kind, "created": 0, "model": self.model}

    def _count(self, tokens: int) -> None:
        self.sent += tokens
        self._record.count_completion(self.model, tokens)

    async def _stream(
        self, behaviour: Behaviour, tokens: list[str], finish: str, usage: dict[str, int]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(self._request)
        envelope = json.dumps(self._envelope("chat.completion.chunk"))[:-1]
        opening = f'data: {envelope}, "choices": [{{"index": 0, "delta": '
        if behaviour.first:
            await asyncio.sleep(behaviour.first)
        pending: list[str] = []
        for number, token in enumerate(tokens):
            if not await self._pass_faults(behaviour, response, number):
                return response
            if behaviour.gap and number:
                await asyncio.sleep(behaviour.gap)
            role = '"role": "assistant", ' if number == 0 else ""
            pending.append(
                f'{opening}{{{role}"content": {json.dumps(token)}}}, "finish_reason": null}}]}}\n\n'
            )
            if len(pending) >= behaviour.burst:
                await response.write("".join(pending).encode())
                self._count(len(pending))
                pending = []
        if pending:
            await response.write("".join(pending).encode())
            self._count(len(pending))
        if not await self._pass_faults(behaviour, response, len(tokens)):
            return response
        ending = f'{opening}{{}}, "finish_reason": {json.dumps(finish)}}}]}}\n\n'
        options = self._body.get("stream_options") or {}
        if options.get("include_usage") and not behaviour.nousage:
            ending += f'data: {envelope}, "choices": [], "usage": {json.dumps(usage)}}}\n\n'
        await response.write(ending.encode() + b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _pass_faults(
        self, behaviour: Behaviour, response: web.StreamResponse, sent: int
    ) -> bool:
        """Act out what is due after `sent` tokens; False when the stream has ended by it."""
        if sent == behaviour.gate_at:
            await self._record.wait_at_gate()
        if sent == behaviour.hang_at:
            await asyncio.sleep(_FOREVER)
        if sent == behaviour.drop_at:
            # A reset throws away what the other side hasn't read yet: give it the time to read.
            await asyncio.sleep(_READING_TIME)
            if self._request.transport is not None:
                self._request.transport.abort()
            return False
        if sent == behaviour.error_at:
            error = {"message": "mock failure in mid-stream", "type": "server_error", "code": "500"}
            await response.write(f"data: {json.dumps({'error': error})}\n\n".encode())
            await response.write_eof()
            return False
        if sent == behaviour.cut_at:
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
            return False
        if sent == behaviour.garble_at:
            await response.write(b'data: {"choices": [{"delta\n\n')
        return True
