"""Between protobuf and the domain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import given
from hypothesis import strategies as st
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from minirag.api.mapping.answer_events import encode_answer_event
from minirag.api.mapping.assistants import FIELDS, decode_assistant, encode_assistant
from minirag.api.mapping.chunks import encode_chunk
from minirag.api.mapping.conversations import encode_message
from minirag.api.mapping.documents import DOCUMENT_STATES, FAILURE_CODES, encode_document
from minirag.api.mapping.metadata import decode_metadata, encode_metadata
from minirag.api.mapping.retrieval import decode_retrieval, encode_result
from minirag.api.mapping.tenants import encode_api_key, encode_tenant
from minirag.api.validation import RequestCheck
from minirag.domain.chats import Assistant, Citation, Cited, Completed, Role
from minirag.domain.documents import Failure, FailureCode
from minirag.domain.ids import new_id
from minirag.domain.retrieval import LegScore, RetrievalMode, RetrievalSettings, RetrievedChunk
from minirag.domain.tenants import Scope, Tenant, TenantState
from minirag.domain.usage import Usage
from minirag.errors import InvalidRequest
from minirag.services.accepting import NewDocument
from tests.support.fake_services import (
    NOW,
    make_answer,
    make_api_key,
    make_chunk,
    make_document,
)

VALUES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
    st.booleans(),
    st.integers(min_value=-(2**53), max_value=2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
KEYS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=100
)


def refused_fields(struct: Struct) -> list[str]:
    check = RequestCheck()
    decode_metadata(check, "metadata", struct)
    try:
        check.finish()
    except InvalidRequest as error:
        return [violation.field for violation in error.violations]
    return []


def struct_of(key: str, **value: object) -> Struct:
    return Struct(fields={key: Value(**value)})


@given(metadata=st.dictionaries(KEYS, VALUES, max_size=64))
def test_metadata_survives_the_round_trip(metadata: dict[str, str | int | float | bool]) -> None:
    with RequestCheck() as check:
        decoded = decode_metadata(check, "metadata", encode_metadata(metadata))

    assert decoded == metadata
    assert {key: type(value) is bool for key, value in decoded.items()} == {
        key: type(value) is bool for key, value in metadata.items()
    }


def test_integral_numbers_become_integers() -> None:
    with RequestCheck() as check:
        decoded = decode_metadata(check, "metadata", encode_metadata({"year": 2024.0, "x": 1.5}))

    assert decoded == {"year": 2024, "x": 1.5}
    assert type(decoded["year"]) is int


@pytest.mark.parametrize(
    "struct",
    [
        struct_of("a", null_value=0),
        struct_of("a", list_value=ListValue()),
        struct_of("a", struct_value=Struct()),
        Struct(fields={"a": Value()}),
        struct_of("a", number_value=math.nan),
        struct_of("a", number_value=math.inf),
        struct_of("a", string_value="x" * 2001),
        struct_of("a", string_value="\0"),
        struct_of("", string_value="x"),
        struct_of("k" * 101, string_value="x"),
        struct_of("k\0", string_value="x"),
        Struct(fields={str(n): Value(bool_value=True) for n in range(65)}),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(struct: Struct) -> None:
    assert refused_fields(struct) == ["metadata"]


def test_metadata_at_the_limits_passes() -> None:
    fields = {f"{n:0100}": Value(string_value="語" * 2000) for n in range(64)}

    assert refused_fields(Struct(fields=fields)) == []


def test_retrieval_settings_have_defaults() -> None:
    with RequestCheck() as check:
        settings = decode_retrieval(check, "retrieval", document_pb.RetrievalSettings())

    assert settings == RetrievalSettings(8, RetrievalMode.HYBRID, 0.0, {})


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"limit": -1}, "retrieval.limit"),
        ({"limit": 101}, "retrieval.limit"),
        ({"mode": 9}, "retrieval.mode"),
        ({"min_score": math.nan}, "retrieval.min_score"),
        ({"min_score": 1.01}, "retrieval.min_score"),
        ({"metadata": struct_of("a", null_value=0)}, "retrieval.metadata"),
    ],
)
def test_wrong_retrieval_settings_are_named_by_their_path(
    settings: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught, RequestCheck() as check:
        decode_retrieval(check, "retrieval", document_pb.RetrievalSettings(**settings))

    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_tenant_and_its_key_keep_every_value() -> None:
    tenant = Tenant(new_id(), "acme", "Acme", TenantState.SUSPENDED, NOW, NOW, 4)
    key = replace(make_api_key(tenant.id), scopes=frozenset({Scope.MANAGE, Scope.READ}))

    encoded, encoded_key = encode_tenant(tenant), encode_api_key(key)

    assert encoded.state == tenant_pb.TENANT_STATE_SUSPENDED
    assert encoded.create_time.ToMicroseconds() == round(NOW.timestamp() * 1_000_000)
    assert list(encoded_key.scopes) == [tenant_pb.SCOPE_READ, tenant_pb.SCOPE_MANAGE]
    assert not encoded_key.HasField("expire_time")
    assert b"secret" not in encoded_key.SerializeToString()


def test_every_visible_state_and_failure_code_has_its_number() -> None:
    states = {document_pb.DocumentState.Value(name) for name in DOCUMENT_STATES.values()}
    codes = {document_pb.FailureCode.Value(name) for name in FAILURE_CODES.values()}

    assert states == set(document_pb.DocumentState.values()) - {0}
    assert codes == set(document_pb.FailureCode.values()) - {0}


def test_a_document_tells_why_it_failed_and_leaves_out_what_is_not_there() -> None:
    new = NewDocument(new_id(), "Tour", "isbn-1", {"year": 2024}, "tour.md")
    document = make_document(new_id(), new, b"abc")
    failed = replace(
        document,
        version=replace(document.version, failure=Failure(FailureCode.CORRUPT, "it is cut off")),
    )

    encoded = encode_document(failed)

    assert encoded.failure.code == document_pb.FAILURE_CODE_CORRUPT
    assert encoded.metadata["year"] == 2024
    assert encoded.published_version_id == ""
    assert not encode_document(document).HasField("failure")


def test_pages_are_left_out_for_formats_without_pages() -> None:
    chunk = make_chunk(3)

    assert not encode_chunk(chunk).HasField("pages")
    paged = encode_chunk(replace(chunk, page_first=2, page_last=3))
    assert (paged.pages.first, paged.pages.last) == (2, 3)
    assert list(paged.heading_path) == ["Top", "Inner"]


def test_a_leg_that_did_not_find_a_passage_is_left_out() -> None:
    result = encode_result(RetrievedChunk(make_chunk(0), "Tour", 0.5, lexical=LegScore(2, 3.25)))

    assert (result.lexical.rank, result.lexical.score) == (2, 3.25)
    assert not result.HasField("dense")


def test_usage_is_for_answers_only() -> None:
    answer = replace(make_answer(new_id(), "Yes"), usage=Usage(3, 2, 0.25))
    question = replace(answer, role=Role.USER, generation_id=None)

    encoded = encode_message(answer)

    assert (encoded.usage.input_tokens, encoded.usage.cost_usd) == (3, 0.25)
    assert not encode_message(question).HasField("usage")
    assert not encode_message(replace(answer, usage=Usage())).usage.HasField("cost_usd")


def test_an_assistant_survives_the_round_trip() -> None:
    retrieval = RetrievalSettings(5, RetrievalMode.LEXICAL, 0.25, {"lang": "de"})
    assistant = Assistant(
        new_id(), new_id(), "Guide", "Be brief.", "openai/x", 0.0, 100, (new_id(),), retrieval,
        NOW, NOW, 1,
    )  # fmt: skip

    with RequestCheck() as check:
        values = decode_assistant(check, "assistant", encode_assistant(assistant), FIELDS)

    assert values.temperature == 0.0
    for name in FIELDS:
        assert getattr(values, name) == getattr(assistant, name)


def test_an_update_checks_only_the_named_fields() -> None:
    wanted = chat_pb.Assistant(temperature=9, instructions="Be brief.")

    with RequestCheck() as check:
        values = decode_assistant(check, "assistant", wanted, frozenset({"instructions"}))
    with pytest.raises(InvalidRequest) as caught, RequestCheck() as check:
        decode_assistant(check, "assistant", wanted, FIELDS)

    assert values.instructions == "Be brief."
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"assistant.display_name", "assistant.temperature"}


def test_answer_events_keep_their_kind_and_number() -> None:
    citation = Citation(1, new_id(), new_id(), new_id(), new_id(), "Tour", 3, 8, "quote")

    cited = encode_answer_event(7, Cited(citation))
    completed = encode_answer_event(8, Completed(make_answer(new_id(), "Yes")))

    assert (cited.sequence, cited.WhichOneof("event")) == (7, "citation")
    assert (cited.citation.span.start, cited.citation.span.end) == (3, 8)
    assert (completed.sequence, completed.completed.message.content) == (8, "Yes")
