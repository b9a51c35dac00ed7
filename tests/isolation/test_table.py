"""The isolation table against the contract: who adds an RPC or an id says there what it stands for."""

from __future__ import annotations

import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat

from tests.isolation.contract import RPCS, bears_an_id
from tests.isolation.table import TABLE

HOW = "add it to tests/isolation/table_of_*.py, as CONTRIBUTING.md tells"


def test_every_rpc_has_an_entry_and_every_entry_an_rpc() -> None:
    assert sorted(RPCS.keys() - TABLE.keys()) == [], HOW
    assert sorted(TABLE.keys() - RPCS.keys()) == []


@pytest.mark.parametrize("name", TABLE)
def test_every_id_bearing_field_is_declared(name: str) -> None:
    entry = TABLE[name]

    assert sorted(entry.fields) == RPCS[name].id_fields, HOW
    assert entry.uses.keys() <= entry.fields.keys()


def test_ids_are_found_in_nested_messages_and_lists() -> None:
    assert RPCS["ChatService/UpdateAssistant"].id_fields == [
        "assistant.collection_ids",
        "assistant.etag",
        "assistant.id",
        "request_id",
    ]


@pytest.mark.parametrize(
    ("name", "is_found"),
    [("id", True), ("assistant_id", True), ("collection_ids", True), ("title", False)],
)
def test_a_field_is_taken_for_an_id_by_its_name(name: str, is_found: bool) -> None:
    fields = {
        **chat.Conversation.DESCRIPTOR.fields_by_name,
        **chat.Assistant.DESCRIPTOR.fields_by_name,
    }

    assert bears_an_id(fields[name]) is is_found
