"""The short form of `make chaos`, and that its judge can condemn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.metadata_tokens import metadata_tokens
from tests.chaos.campaign import Campaign
from tests.chaos.ledger import Account, Slot
from tests.chaos.schedule import Kind, plan
from tests.chaos.verdict import Found, Point, Verdict
from tests.mock_provider import MockProvider
from tests.support.node import model_settings
from tests.support.servers import open_directory

DEATHS = 15
SEED = 1
STRIKING_SECONDS = 180.0
RECOVERY_SECONDS = 60.0
"""Twice what `make chaos` may show: of few deaths, the longest counts, and the machine is busy."""


@pytest.mark.long
@pytest.mark.timeout(1500)  # a minute or two alone, and many on a busy machine
async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice() -> None:
    with open_directory() as directory:
        campaign = Campaign(directory, deaths=DEATHS, seed=SEED, seconds=STRIKING_SECONDS)
        outcome = await campaign.run()

    assert outcome.deaths == DEATHS
    assert outcome.verdict.lost + outcome.unfinished == []
    assert outcome.verdict.duplicate + outcome.tally.duplicates == []
    assert outcome.verdict.phantom == []
    assert outcome.tally.faults == []
    assert outcome.tally.uploads > DEATHS
    assert outcome.resumed > 0
    assert outcome.recovery_p99 < RECOVERY_SECONDS


@pytest.mark.long
@pytest.mark.timeout(1500)
async def test_collections_are_embedded_anew_through_it_all() -> None:
    provider = MockProvider()
    try:
        with open_directory() as directory:
            campaign = Campaign(
                directory,
                deaths=DEATHS,
                seed=SEED + 1,
                seconds=STRIKING_SECONDS,
                settings=model_settings(provider.url),
            )
            outcome = await campaign.run()
    finally:
        provider.stop()

    assert outcome.verdict.lost + outcome.unfinished == []
    assert outcome.verdict.duplicate + outcome.tally.duplicates == []
    assert outcome.verdict.phantom == []
    assert outcome.tally.faults == []
    assert outcome.tally.reembeddings["reembed"] > 1


def test_seed_gives_the_same_strikes_again_and_each_kind_comes() -> None:
    strikes = plan(7, 40)

    assert strikes == plan(7, 40)
    assert strikes != plan(8, 40)
    assert {strike.kind for strike in strikes[: len(Kind)]} == set(Kind)


# -- the judge

TENANT = encode_id(IdKind.TENANT, uuid4())
METADATA = {"marker": "wordx", "number": 1}


class Estate:
    """A tenant with one READY document of two chunks, and all that should be there of it."""

    def __init__(self) -> None:
        self.document, self.version = uuid4(), uuid4()
        slot = Slot("a", encode_id(IdKind.DOCUMENT, self.document), 1, "wordx", METADATA)
        self.account = Account(TENANT, slots=[slot])
        self.row: dict[str, Any] = {
            "id": self.document,
            "external_id": "a",
            "metadata": json.dumps(METADATA),
            "delete_time": None,
            "newest_version_id": self.version,
            "published_version_id": self.version,
            "number": 1,
            "state": "READY",
            "failure_code": None,
            "failure_reason": None,
            "chunk_count": 2,
        }
        self.rows = [self.row]
        self.versions = [{"id": self.version, "document_id": self.document}]
        self.chunks = [
            {"id": uuid4(), "version_id": self.version, "ordinal": n, "text": f"wordx {n}"}
            for n in range(2)
        ]
        self.spaces = frozenset({""})
        self.building: list[str] = []
        self.points = [self.point(chunk["id"]) for chunk in self.chunks]

    def point(self, chunk_id: Any) -> Point:
        assert isinstance(chunk_id, UUID)
        return Point(chunk_id, str(self.version), set(metadata_tokens(METADATA)))

    def judge(self) -> tuple[int, int, int]:
        """Return how many are lost, duplicate and phantom."""
        verdict = Verdict()
        found = Found(self.rows, self.versions, self.chunks, self.spaces, self.building)
        verdict.judge(self.account, found, self.points)
        return len(verdict.lost), len(verdict.duplicate), len(verdict.phantom)


def test_what_is_as_acknowledged_is_clean() -> None:
    assert Estate().judge() == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"number": 0}, (1, 0, 0)),
        ({"number": 2}, (0, 1, 0)),
        ({"state": "EMBEDDING"}, (1, 0, 0)),
        ({"state": "FAILED", "failure_code": "INTERNAL"}, (1, 0, 0)),
        ({"state": "FAILED", "failure_code": "INTERNAL", "failure_reason": "why"}, (0, 0, 0)),
        ({"chunk_count": 3}, (1, 0, 0)),
        ({"metadata": "{}"}, (3, 0, 0)),
        ({"delete_time": "now"}, (1, 0, 2)),
    ],
)
def test_wrong_row_is_told(changes: dict[str, Any], expected: tuple[int, int, int]) -> None:
    estate = Estate()
    estate.row.update(changes)

    assert estate.judge() == expected


def test_missing_strange_and_doubled_things_are_told() -> None:
    lost, strange, doubled, old, deleted = (Estate() for _ in range(5))
    lost.points.pop()
    strange.points.append(strange.point(uuid4()))
    doubled.points.append(doubled.points[0])
    old.versions.append({"id": uuid4(), "document_id": old.document})
    deleted.account.deleted.append(deleted.account.slots.pop().document_id)

    assert lost.judge() == (1, 0, 0)
    assert strange.judge() == (0, 0, 1)
    assert doubled.judge() == (0, 1, 0)
    assert old.judge() == (0, 0, 1)
    assert deleted.judge() == (0, 0, 1)


def test_points_in_no_space_of_the_collection_or_missing_in_one_are_told() -> None:
    absent, strange, building = (Estate() for _ in range(3))
    absent.spaces = frozenset({"", "other"})
    strange.points.append(replace(strange.points[0], space="other"))
    building.building = ["col"]

    assert absent.judge() == (2, 0, 0)
    assert strange.judge() == (0, 0, 1)
    assert building.judge() == (1, 0, 0)


def test_row_that_nobody_was_told_of_is_a_duplicate() -> None:
    estate = Estate()
    estate.account.slots.clear()

    assert estate.judge() == (0, 1, 0)


def test_text_of_another_version_is_a_phantom() -> None:
    estate = Estate()
    estate.chunks[0]["text"] = "wordy 0"

    assert estate.judge() == (0, 0, 1)


def test_watch_that_missed_something_is_told() -> None:
    estate = Estate()
    there = estate.account.slots[0].document_id
    verdict = Verdict()

    verdict.judge_watch(estate.account, {there: "etag"})
    assert verdict.is_clean
    verdict.judge_watch(estate.account, {"doc_gone": "etag"})

    assert verdict.lost == [f"watch wasn't told of {there}"]
    assert verdict.phantom == ["watch wasn't told of the end of doc_gone"]


def test_missing_file_is_lost_and_a_strange_one_is_the_sweepers(tmp_path: Path) -> None:
    estate = Estate()
    found = Found(estate.rows, estate.versions, estate.chunks)
    prefix = tmp_path / encode_hex(TENANT) / estate.version.hex
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "source").touch()
    prefix.mkdir(parents=True)
    (prefix / "source").touch()
    verdict = Verdict()

    verdict.judge_files(tmp_path, {TENANT: found})

    assert len(verdict.lost) == 1
    assert verdict.leftover_files == 1


def encode_hex(tenant_id: str) -> str:
    return tenant_id.removeprefix("ten_")
