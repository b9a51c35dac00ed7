"""Calls of any RPC with any credential, and all that a client can see of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_status import rpc_status

from tests.isolation.contract import RPC_OF_REQUEST, Rpc

CALL_SECONDS = 120.0
SHORTEST_QUOTED = 8
"""Characters of a sent value that an answer can be said to quote."""
DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Outcome:
    """What a call was answered with."""

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    details: tuple[str, ...] = ()
    trailing: tuple[tuple[str, str], ...] = ()
    responses: tuple[Message, ...] = ()

    def without(self, sent: str) -> Outcome:
        """The same, with `<sent>` for the value that the request held."""
        if not sent:
            return self

        def cut(text: str) -> str:
            return text.replace(sent, "<sent>")

        return replace(
            self,
            message=cut(self.message),
            details=tuple(cut(each) for each in self.details),
            trailing=tuple((key, cut(value)) for key, value in self.trailing),
            responses=tuple(_rewrite(each, sent) for each in self.responses),
        )

    def without_places(self) -> Outcome:
        """The same without the places in a watch's history, which are others at each moment."""
        return replace(self, responses=tuple(_without_place(each) for each in self.responses))

    def texts(self) -> Iterable[str]:
        """All that it shows, as text."""
        yield self.message
        yield from self.details
        for _, value in self.trailing:
            yield value
        for response in self.responses:
            if data := getattr(response, "data", b""):
                yield data.decode("latin-1")  # the JSON of bytes is Base64
            yield json_format.MessageToJson(response, ensure_ascii=False)


def _rewrite(response: Message, sent: str) -> Message:
    """The response with `<sent>` for the value where it quotes it."""
    text = json_format.MessageToJson(response)
    if sent in text and len(sent) >= SHORTEST_QUOTED:
        response = json_format.Parse(text.replace(sent, "<sent>"), type(response)())
    return response


def _without_place(response: Message) -> Message:
    if "resume_token" not in response.DESCRIPTOR.fields_by_name:
        return response
    kept = type(response)()
    kept.CopyFrom(response)
    kept.ClearField("resume_token")
    return kept


class Wire:
    """A channel to the server under test."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._calls: dict[str, Any] = {}

    async def close(self) -> None:
        await self._channel.close()

    async def attempt(
        self, rpc: Rpc, parts: Sequence[Message], authorization: str | None
    ) -> Outcome:
        """Make the call, and return its end, whatever it is; `parts` is one message unless it streams."""
        metadata = () if authorization is None else (("authorization", authorization),)
        request: Any = iter(parts) if rpc.method.client_streaming else parts[0]
        call = self._multicallable(rpc)(request, metadata=metadata, timeout=CALL_SECONDS)
        try:
            is_stream = rpc.method.server_streaming
            responses = [each async for each in call] if is_stream else [await call]
        except grpc.aio.AioRpcError as error:
            return _refusal(error)
        return Outcome(
            grpc.StatusCode.OK,
            trailing=_trailing(await call.trailing_metadata()),
            responses=tuple(responses),
        )

    def watch(self, request: Message, authorization: str) -> Any:
        """Open the stream that takes this message."""
        rpc = RPC_OF_REQUEST[request.DESCRIPTOR.full_name]
        metadata = (("authorization", authorization),)
        return self._multicallable(rpc)(request, metadata=metadata, timeout=CALL_SECONDS)

    async def send(self, request: Message, authorization: str | None) -> Any:
        """Make the call that takes this message, which must succeed; return its (last) response."""
        rpc = RPC_OF_REQUEST[request.DESCRIPTOR.full_name]
        outcome = await self.attempt(rpc, [request], authorization)
        assert outcome.code is grpc.StatusCode.OK, (rpc.name, outcome)
        return outcome.responses[-1]

    def _multicallable(self, rpc: Rpc) -> Any:
        made = self._calls.get(rpc.path)
        if made is None:
            kind = "_".join(
                "stream" if streams else "unary"
                for streams in (rpc.method.client_streaming, rpc.method.server_streaming)
            )
            made = self._calls[rpc.path] = getattr(self._channel, kind)(
                rpc.path,
                request_serializer=rpc.request_class.SerializeToString,
                response_deserializer=rpc.response_class.FromString,
            )
        return made


def _refusal(error: grpc.aio.AioRpcError) -> Outcome:
    status = rpc_status.from_call(error)
    details = []
    reason = ""
    for packed in status.details if status is not None else ():
        shown = json_format.MessageToDict(packed)
        reason = shown.get("reason", reason)
        details.append(repr(sorted(shown.items())))
    return Outcome(
        error.code(),
        error.details() or "",
        reason,
        tuple(details),
        _trailing(error.trailing_metadata()),
    )


def _trailing(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, value if isinstance(value, str) else value.hex())
        for key, value in metadata or ()
        if key != DETAILS_KEY
    )
