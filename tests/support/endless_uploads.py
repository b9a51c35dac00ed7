"""An upload whose client goes on sending until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import grpc
from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub

from tests.support.refusals import Refusal, decode_refusal

Metadata = Sequence[tuple[str, str]]

PART_BYTES = 256 * 1024


async def send_until_refused(
    address: str, header: pb.UploadDocumentHeader, metadata: Metadata
) -> tuple[Refusal, int]:
    """Return the answer, and how many bytes of data the client had sent by then.

    By gRPC's synchronous client: the asyncio one may report a failed write of its own in place of the
    status that the server sent (https://github.com/grpc/grpc/issues/36066).
    """
    return await asyncio.to_thread(_send, address, header, metadata)


def _send(address: str, header: pb.UploadDocumentHeader, metadata: Metadata) -> tuple[Refusal, int]:
    sent = 0
    is_answered = False

    def parts() -> Iterator[pb.UploadDocumentRequest]:
        nonlocal sent
        yield pb.UploadDocumentRequest(header=header)
        while not is_answered:
            sent += PART_BYTES
            yield pb.UploadDocumentRequest(data=b"x" * PART_BYTES)

    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        upload = DocumentServiceStub(channel).UploadDocument
        try:
            upload(parts(), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            return decode_refusal(error), sent  # type: ignore[arg-type]  # it is a call, too
        finally:
            is_answered = True
    raise AssertionError("an endless upload was answered with a document")
