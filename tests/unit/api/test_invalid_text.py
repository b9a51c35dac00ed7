"""Finding the field whose text isn't UTF-8."""

from __future__ import annotations

import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from minirag.api.interceptors.parsing import checked_parser
from minirag.api.invalid_text import find_invalid_text
from minirag.errors import InvalidRequest

MARK = "MARK"
BAD = b"\xff\xfe\xfd\xfc"


def spoil(message: object) -> bytes:
    raw: bytes = message.SerializeToString()  # type: ignore[attr-defined]  # a protobuf message
    assert raw.count(MARK.encode()) == 1
    return raw.replace(MARK.encode(), BAD)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (chat_pb.SendMessageRequest(content=MARK), "content"),
        (chat_pb.SendMessageRequest(content="fine", request_id=MARK), "request_id"),
        (chat_pb.SendMessageRequest(collection_ids=["fine", MARK]), "collection_ids"),
        (
            chat_pb.CreateAssistantRequest(assistant=chat_pb.Assistant(instructions=MARK)),
            "assistant.instructions",
        ),
        (
            document_pb.UploadDocumentRequest(
                header=document_pb.UploadDocumentHeader(file_name=MARK)
            ),
            "header.file_name",
        ),
        (document_pb.CreateDocumentRequest(metadata={"a": {"b": MARK}}), "metadata"),
        (document_pb.CreateDocumentRequest(metadata={MARK: 1}), "metadata"),
    ],
)
def test_the_field_is_named_by_its_path(message: object, path: str) -> None:
    parse = checked_parser(type(message).FromString)  # type: ignore[attr-defined]  # generated

    with pytest.raises(InvalidRequest) as caught:
        parse(spoil(message))

    assert [violation.field for violation in caught.value.violations] == [path]


def test_bytes_may_be_anything() -> None:
    message = document_pb.CreateDocumentRequest(data=BAD)

    assert find_invalid_text(message.DESCRIPTOR, message.SerializeToString()) is None
    assert checked_parser(type(message).FromString)(message.SerializeToString()) == message


@pytest.mark.parametrize("raw", [b"\x0a\x05ab", b"\xff", b"\x0f", b"\x0a\xff\xff\xff\xff\xff"])
def test_bytes_that_are_no_message_are_refused_without_a_field(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_parser(chat_pb.SendMessageRequest.FromString)(raw)

    assert caught.value.violations == ()
