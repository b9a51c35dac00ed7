"""Sending a request by gRPC, as bytes, and keeping whatever comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from tests.fuzz.contract import Rpc

CALL_SECONDS = 60.0
WATCH_SECONDS = 0.5
"""A call that streams for ever is left after this."""
MOST_RESPONSES = 300

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass
class Outcome:
    """What a call came to. `was_left`: we ended it, having seen enough."""

    code: grpc.StatusCode
    text: str = ""
    trailers: Metadata = ()
    responses: list[bytes] = field(default_factory=list)
    was_left: bool = False

    def messages(self, rpc: Rpc) -> list[Message]:
        """The responses as messages. Raises `DecodeError` if the server sent something else."""
        return [rpc.response_class.FromString(each) for each in self.responses]

    def can_be_read(self, rpc: Rpc) -> bool:
        try:
            self.messages(rpc)
        except DecodeError:
            return False
        return True


async def send(
    channel: grpc.aio.Channel, rpc: Rpc, bodies: Sequence[bytes], metadata: Metadata
) -> Outcome:
    """Call, and read to the end."""
    call = _start(channel, rpc, bodies, metadata)
    outcome = Outcome(grpc.StatusCode.OK)
    try:
        if rpc.method.server_streaming:
            async for response in call:
                outcome.responses.append(response)
                if len(outcome.responses) >= MOST_RESPONSES:
                    outcome.was_left = True
                    call.cancel()
                    break
        else:
            outcome.responses.append(await call)
    except grpc.aio.AioRpcError as error:
        outcome.code, outcome.text = error.code(), error.details() or ""
        outcome.trailers = tuple(error.trailing_metadata() or ())
        outcome.was_left = rpc.is_endless and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    except asyncio.CancelledError:
        # What an upload refused early looks like here: the status is in the call.
        if not call.done():
            raise
        outcome.code, outcome.text = await call.code(), await call.details() or ""
        outcome.trailers = tuple(await call.trailing_metadata() or ())
    return outcome


def _start(channel: grpc.aio.Channel, rpc: Rpc, bodies: Sequence[bytes], metadata: Metadata) -> Any:
    timeout = WATCH_SECONDS if rpc.is_endless else CALL_SECONDS
    if rpc.method.client_streaming:
        stream = channel.stream_stream if rpc.method.server_streaming else channel.stream_unary
        return stream(rpc.path)(_each(bodies), metadata=metadata, timeout=timeout)
    single = channel.unary_stream if rpc.method.server_streaming else channel.unary_unary
    return single(rpc.path)(bodies[0], metadata=metadata, timeout=timeout)


async def _each(bodies: Sequence[bytes]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body
