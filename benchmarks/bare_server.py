"""The baseline of calls and streams: grpc.aio with nothing around it. `python -m benchmarks.bare_server`"""

from __future__ import annotations

import asyncio
import signal

import grpc.aio
import uvloop
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

SERVICE = "minirag.benchmarks.Bare"
ECHO = f"/{SERVICE}/Echo"
STREAM = f"/{SERVICE}/Stream"


async def _echo(
    request: tenant_pb.WhoAmIResponse, _context: grpc.aio.ServicerContext
) -> tenant_pb.WhoAmIResponse:
    return request


async def _stream(request: chat_pb.SendMessageRequest, context: grpc.aio.ServicerContext) -> None:
    """Write as many deltas as the request's content says, of words as the mock provider's."""
    for number in range(int(request.content)):
        delta = chat_pb.AnswerDelta(text=f" word{number}")
        await context.write(chat_pb.SendMessageResponse(sequence=number + 1, delta=delta))


async def _serve() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                SERVICE,
                {
                    "Echo": grpc.unary_unary_rpc_method_handler(
                        _echo,
                        tenant_pb.WhoAmIResponse.FromString,
                        tenant_pb.WhoAmIResponse.SerializeToString,
                    ),
                    "Stream": grpc.unary_stream_rpc_method_handler(
                        _stream,
                        chat_pb.SendMessageRequest.FromString,
                        chat_pb.SendMessageResponse.SerializeToString,
                    ),
                },
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"127.0.0.1:{port}", flush=True)
    await stopped.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(_serve())
