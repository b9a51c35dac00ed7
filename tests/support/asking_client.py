"""A client process for tests to kill: `python -m tests.support.asking_client ADDRESS KEY ASSISTANT`.

It asks one question and prints the answer, each piece as it comes.
"""

from __future__ import annotations

import sys

import grpc
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import chat_service_pb2_grpc as chat_grpc


def main(address: str, key: str, assistant_id: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = chat_pb.SendMessageRequest(content="Go on?", assistant_id=assistant_id)
        metadata = (("authorization", f"Bearer {key}"),)
        for event in chat_grpc.ChatServiceStub(channel).SendMessage(request, metadata=metadata):
            print(event.delta.text, end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
