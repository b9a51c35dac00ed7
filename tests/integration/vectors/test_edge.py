"""What only the in-process store has: files, a lock, and the event loop beside it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

import pytest

from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.errors import FailedPrecondition, Unavailable
from minirag.repositories.vectors.edge import EdgeVectorStore
from tests.integration.vectors.factories import a_point, a_space, ids, terms

ALL = VectorFilter()
TENANT = UUID(int=1)

WRITER = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.repositories.vectors.edge import EdgeVectorStore
from tests.integration.vectors.factories import a_point

async def main():
    tenant, space = UUID(int=1), EmbeddingSpace("durable", "", 4)
    store = EdgeVectorStore(Path(sys.argv[1]))
    written = await store.count(tenant, space, VectorFilter())
    while True:
        batch = [
            a_point({1: 1.0, 100 + n: 1.0}, (1.0, 0.0, 0.0, n / 1000), chunk_id=UUID(int=n + 1))
            for n in range(written, written + 50)
        ]
        await store.upsert(tenant, space, batch)
        written += 50
        print(written, flush=True)

asyncio.run(main())
"""


def test_acknowledged_points_survive_kill_9(tmp_path: Path) -> None:
    """Killed again and again in mid-write, before and after flushes."""
    path = tmp_path / "vectors"
    acknowledged = 0
    for more in (50, 500, 650, 1200):
        acknowledged = _write_until_killed(path, at_least=acknowledged + more)

        found, hits = asyncio.run(_read_back(path, acknowledged))

        assert set(range(1, acknowledged + 1)) <= {each.int for each in found}
        assert len(found) == len(set(found))
        assert hits == [UUID(int=acknowledged)]


async def test_points_are_there_after_reopening(tmp_path: Path) -> None:
    """Spaces and tenants alike, and the store goes on from there."""
    dense, lexical = a_space(3), a_space(0)
    point = a_point({1: 1.0}, (1.0, 0.0, 0.0), metadata={"team": "blue"})
    store = EdgeVectorStore(tmp_path)
    await store.upsert(TENANT, dense, [point])
    await store.upsert(TENANT, lexical, [a_point()])
    await store.close()

    store = EdgeVectorStore(tmp_path)
    where = VectorFilter(metadata={"team": "blue"})
    hits = await store.search_dense(TENANT, dense, (1.0, 0.0, 0.0), where=where, limit=5)
    await store.upsert(TENANT, lexical, [a_point()])
    count = await store.count(TENANT, lexical, ALL)
    await store.close()

    assert ids(hits) == [point.chunk_id]
    assert count == 2


async def test_half_made_space_of_a_crash_is_made_anew(tmp_path: Path) -> None:
    space = a_space(3)
    leftover = tmp_path / f".{space.name}.new"
    leftover.mkdir()
    (leftover / "edge_config.json").write_text("{")

    store = EdgeVectorStore(tmp_path)
    await store.upsert(TENANT, space, [a_point()])
    count = await store.count(TENANT, space, ALL)
    await store.close()

    assert count == 1
    assert not leftover.exists()


async def test_second_process_is_refused_with_the_holders_number(tmp_path: Path) -> None:
    """And gets in once the first is gone, even if that was killed."""
    child, output = _start_writer(tmp_path)
    output.readline()

    with pytest.raises(FailedPrecondition, match=f"process {child.pid}; stop it first"):
        EdgeVectorStore(tmp_path)
    child.kill()
    child.communicate()
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(FailedPrecondition, match="in use"):
        EdgeVectorStore(tmp_path)
    await store.close()


async def test_unreadable_space_is_named_when_opening(tmp_path: Path) -> None:
    """And the directory is given free again, to be put right."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "edge_config.json").write_text("{")

    with pytest.raises(Unavailable, match="broken"):
        EdgeVectorStore(tmp_path)

    (tmp_path / "broken" / "edge_config.json").unlink()
    (tmp_path / "broken").rmdir()
    await EdgeVectorStore(tmp_path).close()


async def test_name_that_would_leave_the_directory_is_refused(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path / "vectors")

    for name in ("../outside", ".hidden", "", "a/b"):
        with pytest.raises(ValueError, match="can't name a space"):
            await store.ensure_space(EmbeddingSpace(name, "", 0))
    await store.close()

    assert _names_in(tmp_path) == ["vectors"]


async def test_compacting_changes_no_result(tmp_path: Path) -> None:
    space = a_space(4)
    store = EdgeVectorStore(tmp_path)
    points = [
        a_point({1: 1.0 + n / 1000, n: 1.0}, (1.0, n % 11, n % 13, n % 17)) for n in range(2, 1500)
    ]
    await store.upsert(TENANT, space, points)
    await store.delete(
        TENANT, space, VectorFilter(version_ids=tuple(each.version_id for each in points[:400]))
    )

    async def results() -> list[list[tuple[UUID, float]]]:
        legs = (
            await store.search_lexical(
                TENANT, space, terms({1: 1.0, 1001: 1.0}), where=ALL, limit=20
            ),
            await store.search_dense(TENANT, space, (1.0, 2.0, 3.0, 4.0), where=ALL, limit=20),
        )
        return [[(hit.chunk_id, round(hit.score, 4)) for hit in leg] for leg in legs]

    before = await results()
    await store.compact()
    after = await results()
    count = await store.count(TENANT, space, ALL)
    await store.close()

    assert after == before
    assert count == 1098


async def test_simultaneous_first_writes_share_one_space(tmp_path: Path) -> None:
    space = a_space(0)
    store = EdgeVectorStore(tmp_path)

    await asyncio.gather(*(store.upsert(uuid4(), space, [a_point()]) for _ in range(8)))
    await asyncio.gather(*(store.upsert(TENANT, space, [a_point()]) for _ in range(8)))

    assert await store.count(TENANT, space, ALL) == 8
    await store.close()


async def test_event_loop_keeps_ticking_while_thousands_are_written(tmp_path: Path) -> None:
    """A tick due every 2 ms is late by no more than a chat wouldn't notice (99 of 100, and ever).

    The bounds leave room for a busy machine; alone, it is 20 ms and 30 ms (a flush).
    """
    space = a_space(384)
    points = [
        a_point(dict.fromkeys(range(n % 50, n % 50 + 100), 1.0), [float(n % 7 + 1)] * 384)
        for n in range(5000)
    ]
    store = EdgeVectorStore(tmp_path)
    await store.ensure_space(space)
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            late.append(time.perf_counter() - due)

    ticker = asyncio.create_task(tick())
    await store.upsert(TENANT, space, points)
    ticker.cancel()
    await store.close()

    late.sort()
    assert len(late) > 50
    # An engine that holds the interpreter for good stops it for seconds.
    assert late[int(len(late) * 0.99)] < 0.3
    assert late[-1] < 0.25


def _names_in(path: Path) -> list[str]:
    return [each.name for each in path.iterdir()]


def _start_writer(path: Path) -> tuple[subprocess.Popen[str], IO[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, child.stdout


def _write_until_killed(path: Path, *, at_least: int) -> int:
    """Let a child process write, kill it at once when it has acknowledged enough; return how many."""
    child, output = _start_writer(path)
    acknowledged = 0
    for line in output:
        acknowledged = int(line)
        if acknowledged >= at_least:
            child.kill()
            break
    rest, _ = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    return max([acknowledged, *(int(line) for line in rest.split())])


async def _read_back(path: Path, acknowledged: int) -> tuple[list[UUID], list[UUID]]:
    """Return all ids, and what a search for the last acknowledged point finds first."""
    store = EdgeVectorStore(path)
    space = EmbeddingSpace("durable", "", 4)
    found = await store.list_points(TENANT, space, ALL, after=None, limit=100_000)
    hits = await store.search_lexical(
        TENANT, space, terms({99 + acknowledged: 1.0}), where=ALL, limit=1
    )
    await store.close()
    return ids(found), ids(hits)
