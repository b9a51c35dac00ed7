"""The short form of `make hostile`, and that its tally can condemn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.campaign import NODE_SETTINGS, PARSER_MEMORY_BYTES, Campaign, Outcome, Tally
from tests.hostile.files import HostileFile, hostile_files
from tests.hostile.sound import SOUND
from tests.support.node import NodeProcess
from tests.support.servers import open_directory

SEED = 20_251_125
EACH = 6
"""One in so many files is sent."""
FILE = HostileFile("x", "txt", bytes)


@pytest.fixture
def node() -> Iterator[NodeProcess]:
    with open_directory() as directory:
        node = NodeProcess(directory, NODE_SETTINGS)
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.mark.long
@pytest.mark.timeout(600)  # a minute alone, and more on a busy machine
async def test_no_hostile_file_holds_up_or_ends_a_worker(node: NodeProcess) -> None:
    files = list(hostile_files(SEED))[::EACH]

    tally = await Campaign(node, files).run()

    assert len(tally.outcomes) == len(files)
    assert [each for each in tally.outcomes if not each.is_final] == []
    assert tally.survived
    assert 0 < tally.peak_bytes <= PARSER_MEMORY_BYTES


@pytest.mark.long
async def test_every_sound_file_that_is_spoiled_is_read_while_it_is_sound(
    node: NodeProcess,
) -> None:
    files = [HostileFile("sound", extension, make) for extension, make in SOUND.items()]

    tally = await Campaign(node, files).run()

    assert {each.file.extension for each in tally.outcomes if each.state == "READY"} == set(SOUND)


def test_there_are_two_hundred_files_in_every_format_and_the_seed_makes_them() -> None:
    files = list(hostile_files(SEED))
    spoiled = [file for file in files if file.name.startswith("rtf ")]

    assert len({file.name for file in files}) == len(files) >= 200
    assert {file.extension for file in files} >= set(SOUND)
    assert [file.make() for file in spoiled] == [
        file.make() for file in hostile_files(SEED) if file.name.startswith("rtf ")
    ]
    assert spoiled[0].make() != SOUND["rtf"]()


@pytest.mark.parametrize(
    "tally",
    [
        Tally([Outcome(FILE, "READY", "", 31.0)], survived=True, peak_bytes=1),
        Tally([Outcome(FILE, "NOT FINAL", "", 1.0)], survived=True, peak_bytes=1),
        Tally([Outcome(FILE, "READY", "", 1.0)], survived=False, peak_bytes=1),
        Tally([Outcome(FILE, "READY", "", 1.0)], survived=True, peak_bytes=PARSER_MEMORY_BYTES + 1),
    ],
    ids=["late", "not final", "dead", "too much memory"],
)
def test_what_must_not_happen_is_told(tally: Tally) -> None:
    assert not tally.is_clean


def test_a_clean_run_says_so_in_its_last_line() -> None:
    tally = Tally([Outcome(FILE, "EMPTY", "", 1.0)], survived=True, peak_bytes=300 * 1024 * 1024)

    assert tally.is_clean
    assert tally.last_line() == "hostile: files=1 final=1 survived=yes peak_mib=300"
