"""Requests are checked whole: each wrong field is named, with what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from minirag.api.etags import encode_etag
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import Scope
from minirag.errors import InvalidRequest, NotFound

Check = Callable[[RequestCheck], object]


def fields_refused(check_request: Check) -> list[str]:
    check = RequestCheck()
    check_request(check)
    try:
        check.finish()
    except InvalidRequest as error:
        return [violation.field for violation in error.violations]
    return []


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught, RequestCheck() as check:
        check.slug("slug", "-")
        check.text("display_name", "x" * 201, longest=200)
        check.request_id("request_id", "7")

    assert [one.field for one in caught.value.violations] == ["slug", "display_name", "request_id"]


def test_an_exception_inside_the_block_is_not_covered_up() -> None:
    with pytest.raises(ZeroDivisionError), RequestCheck() as check:
        check.slug("slug", "-")
        raise ZeroDivisionError


@pytest.mark.parametrize("slug", ["ab", "acme", "a1", "a-b", "a" * 63])
def test_good_slugs_pass(slug: str) -> None:
    assert fields_refused(lambda check: check.slug("slug", slug)) == []


@pytest.mark.parametrize(
    "slug", ["", "a", "1a", "-ab", "ab-", "Acme", "a_b", "a b", "ä" * 3, "a" * 64, "acme\n"]
)
def test_bad_slugs_are_refused(slug: str) -> None:
    assert fields_refused(lambda check: check.slug("slug", slug)) == ["slug"]


def test_length_is_counted_in_characters_not_bytes() -> None:
    assert fields_refused(lambda check: check.text("title", "語" * 200, longest=200)) == []
    assert fields_refused(lambda check: check.text("title", "語" * 201, longest=200)) == ["title"]


def test_nul_is_refused_in_any_text() -> None:
    assert fields_refused(lambda check: check.text("title", "a\0b", longest=9)) == ["title"]
    assert fields_refused(lambda check: check.plain("text", "\0")) == ["text"]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_required_text_must_show_something(text: str) -> None:
    assert fields_refused(lambda check: check.required_text("query", text, longest=9)) == ["query"]


@pytest.mark.parametrize(("size", "meant"), [(0, 50), (1, 1), (1000, 1000)])
def test_page_size_defaults_to_fifty(size: int, meant: int) -> None:
    with RequestCheck() as check:
        assert check.page_size(size) == meant


@pytest.mark.parametrize("size", [-1, 1001, 2**31 - 1, -(2**31)])
def test_page_size_out_of_range_is_refused(size: int) -> None:
    assert fields_refused(lambda check: check.page_size(size)) == ["page_size"]


@pytest.mark.parametrize("paths", [[], ["*"], ["slug"], ["title", "nope"], ["title.x"], [""]])
def test_masks_that_are_empty_or_name_unknown_fields_are_refused(paths: list[str]) -> None:
    mask = FieldMask(paths=paths)

    assert fields_refused(lambda check: check.update_mask(mask, ("title",))) == ["update_mask"]


def test_a_mask_may_name_a_field_twice() -> None:
    with RequestCheck() as check:
        assert check.update_mask(FieldMask(paths=["title", "title"]), ("title",)) == {"title"}


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "not-a-uuid",
        "{12345678-1234-5678-1234-567812345678}",
        "12345678123456781234567812345678",
    ],
)
def test_request_id_must_be_a_uuid(text: str) -> None:
    assert fields_refused(lambda check: check.request_id("request_id", text)) == ["request_id"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, 2.1])
def test_numbers_out_of_bounds_and_nan_are_refused(value: float) -> None:
    refused = fields_refused(lambda check: check.number("temperature", value, least=0, most=2))

    assert refused == ["temperature"]


def test_unspecified_and_unknown_enum_numbers_are_refused() -> None:
    scopes = {1: Scope.READ, 2: Scope.INGEST}

    assert fields_refused(lambda check: check.choice("state", 0, scopes)) == ["state"]
    assert fields_refused(lambda check: check.choice("state", 77, scopes)) == ["state"]
    assert fields_refused(lambda check: check.choices("scopes", [1, 0, 77], scopes)) == ["scopes"]


def test_a_choice_with_two_numbers_is_offered_once() -> None:
    with pytest.raises(InvalidRequest) as caught, RequestCheck() as check:
        check.choice("scope", 77, {0: Scope.READ, 1: Scope.READ, 2: Scope.INGEST})

    assert caught.value.violations[0].description == "must be one of READ, INGEST"


@pytest.mark.parametrize(
    "text", ["doc_", "doc_123", "col_" + "0" * 32, "doc_" + "G" * 32, "doc_" + "A" * 32, "x" * 9999]
)
def test_a_malformed_id_is_answered_like_a_missing_resource(text: str) -> None:
    with pytest.raises(NotFound) as caught, RequestCheck() as check:
        check.id("document_id", IdKind.DOCUMENT, text)

    assert caught.value.resource_type == "document"
    assert len(caught.value.message) < 200


def test_wrong_fields_are_told_before_a_malformed_id() -> None:
    with pytest.raises(InvalidRequest), RequestCheck() as check:
        check.id("document_id", IdKind.DOCUMENT, "doc_1")
        check.page_size(-1)


def test_a_left_out_id_is_named() -> None:
    assert fields_refused(lambda check: check.id("tenant_id", IdKind.TENANT, "")) == ["tenant_id"]


def test_ids_are_kept_in_order_each_once() -> None:
    first, second = new_id(), new_id()
    texts = [encode_id(IdKind.COLLECTION, one) for one in (second, first, second)]

    with RequestCheck() as check:
        found = check.ids("collection_ids", IdKind.COLLECTION, texts, most=3)

    assert found == (second, first)


def test_too_many_ids_are_refused() -> None:
    texts = [encode_id(IdKind.COLLECTION, new_id())] * 4

    refused = fields_refused(
        lambda check: check.ids("collection_ids", IdKind.COLLECTION, texts, most=3)
    )

    assert refused == ["collection_ids"]


def test_times_must_lie_ahead_and_exist() -> None:
    past, future, never = Timestamp(), Timestamp(), Timestamp(seconds=10**15)
    past.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    future.FromDatetime(datetime.now(UTC) + timedelta(hours=1))

    for wrong in (past, never, Timestamp(seconds=4 * 10**9, nanos=-1)):
        refused = fields_refused(lambda check, time=wrong: check.future_time("expire_time", time))
        assert refused == ["expire_time"]
    assert fields_refused(lambda check: check.future_time("expire_time", future)) == []


def test_durations_are_bounded_on_both_sides() -> None:
    longest = timedelta(days=30)

    for wrong in (
        Duration(seconds=-1),
        Duration(seconds=30 * 86_400, nanos=1000),
        Duration(seconds=10**14),
        Duration(seconds=1, nanos=-1),
    ):
        refused = fields_refused(
            lambda check, span=wrong: check.duration("overlap", span, longest=longest)
        )
        assert refused == ["overlap"]
    with RequestCheck() as check:
        assert check.duration("overlap", Duration(), longest=longest) == timedelta(0)
        assert check.duration("overlap", Duration(seconds=90), longest=longest) == timedelta(
            seconds=90
        )


def test_an_etag_of_another_resource_or_none_at_all_is_refused() -> None:
    mine, other = new_id(), new_id()

    for text in (encode_etag(other, 3), "W/1", "x" * 16, encode_etag(mine, 3)[:-1]):
        refused = fields_refused(lambda check, etag=text: check.etag("tenant.etag", mine, etag))
        assert refused == ["tenant.etag"]
    with RequestCheck() as check:
        assert check.etag("tenant.etag", mine, encode_etag(mine, 3)) == 3
        assert check.etag("tenant.etag", mine, "") is None
