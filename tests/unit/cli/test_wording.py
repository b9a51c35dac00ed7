"""What people type: durations, metadata, lists; and what they read: sizes, counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.cli.wording import (
    count_of,
    enum_word,
    format_size,
    format_time,
    parse_choices,
    parse_duration,
    parse_metadata,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("45s", timedelta(seconds=45)),
        (" 2w ", timedelta(weeks=2)),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "0d", "30 d", "1y", "99999999d"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="30d"):
        parse_duration(text)


def test_metadata_values_have_the_types_they_look_like() -> None:
    read = parse_metadata(["year=2024", "rate=0.5", "draft=true", "team=sales", 'code="007"'])

    assert read == {"year": 2024, "rate": 0.5, "draft": True, "team": "sales", "code": "007"}
    assert isinstance(read["draft"], bool)


@pytest.mark.parametrize(
    "value", ["a=b", "", "NaN", "Infinity", "null", "[1]", '{"a": 1}', '"open']
)
def test_other_metadata_values_are_text_as_they_stand(value: str) -> None:
    assert parse_metadata([f"key={value}"]) == {"key": value}


@pytest.mark.parametrize("pairs", [["year"], ["=2024"], ["a=1", "a=2"]])
def test_metadata_needs_keys_that_differ(pairs: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_metadata(pairs)


def test_choices_are_read_in_any_case_and_once() -> None:
    assert parse_choices("Read, chat,read", ("read", "chat"), "scope") == ["read", "chat"]


@pytest.mark.parametrize("text", ["write", "", " , ", "read,write"])
def test_wrong_choices_are_told_with_the_right_ones(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="choose from read, chat"):
        parse_choices(text, ("read", "chat"), "scope")


def test_sizes_and_counts_are_for_people() -> None:
    assert [format_size(count) for count in (0, 999, 1000, 1_400_000, 5_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "1.4 MB",
        "5.0 GB",
    ]
    assert [count_of(number, "file") for number in (0, 1, 2000)] == [
        "0 files",
        "1 file",
        "2,000 files",
    ]


def test_unset_time_is_empty_and_unknown_state_is_its_number() -> None:
    document = pb.Document()
    document.create_time.FromJsonString("2026-01-02T03:04:05Z")

    assert format_time(document.update_time) == ""
    assert format_time(document.create_time) == "2026-01-02 03:04 UTC"
    assert enum_word(pb.DocumentState, pb.DOCUMENT_STATE_READY, "DOCUMENT_STATE_") == "ready"
    assert enum_word(pb.DocumentState, 99, "DOCUMENT_STATE_") == "99"
