"""Secrets that are planted and looked for: in every encoding, in every place that a node leaves things."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil
import redis
from redis.exceptions import ResponseError

from minirag.embedded.postgres_cluster import OWNER, load_credentials
from tests.support.node import NodeProcess

BASE64_EDGE = 4
"""Characters at either end of a base64 text that depend on what stands beside it."""


class Place(Enum):
    DATABASE = auto()
    """Rows of any table, and Postgres's files."""
    REDIS = auto()
    """Keys and values, and the append-only file."""
    VECTORS = auto()
    BLOBS = auto()
    LOGS = auto()
    """Of the node and of both servers below it, at debug level."""
    TERMINAL = auto()
    """What `minirag up` prints for the person who started it."""
    KEY_FILES = auto()
    """The files of the data directory that are for their owner's eyes."""
    STATUSES = auto()
    """Message, details and trailing metadata of every refused call."""
    ARGUMENTS = auto()
    """Command lines and titles of every process."""
    NODE_ENVIRONMENT = auto()
    CHILD_ENVIRONMENT = auto()
    TEMPORARY_FILES = auto()


@dataclass(frozen=True)
class Canary:
    """A text that may be found in the named places and nowhere else."""

    name: str
    text: str
    allowed: frozenset[Place] = frozenset()

    @property
    def forms(self) -> frozenset[bytes]:
        """The text as it is, in hex, base64, JSON and URLs."""
        return frozenset(encodings(self.text))


@dataclass
class Evidence:
    """What was collected: pieces of bytes by where they were found."""

    pieces: list[tuple[Place, str, bytes]] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    """What stood before what a search found, by the line that tells of it."""

    def add(self, place: Place, where: str, data: bytes | str) -> None:
        raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
        self.pieces.append((place, where, raw))

    @property
    def places(self) -> set[Place]:
        return {place for place, _, _ in self.pieces}

    def search(self, canaries: Iterable[Canary], *, everywhere: bool = False) -> list[str]:
        """One line for each place of a canary; with `everywhere`, also where it is allowed."""
        found = []
        for canary in canaries:
            for place, where, data in self.pieces:
                if place in canary.allowed and not everywhere:
                    continue
                for form in canary.forms:
                    before, form_found, _ = data.partition(form)
                    if form_found:
                        found.append(f"{canary.name} in {place.name}: {where}")
                        self.context[found[-1]] = before[-200:].decode(errors="replace")
                        break
        return found


def encodings(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    for safe in ("", "/"):
        yield quote(text, safe=safe).encode()
    yield repr(text)[1:-1].encode()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * offset + raw)
            yield whole[BASE64_EDGE if offset else 0 : -BASE64_EDGE]


# -- collecting from a node that runs


async def collect_rows(node: NodeProcess, evidence: Evidence) -> int:
    """Every row of every table, as text and as bytes; returns how many there are."""
    connection = await asyncpg.connect(owner_url(node))
    rows = 0
    try:
        for table in await list_tables(connection):
            for row in await _read_table(connection, table):
                rows += 1
                for name, value in row.items():
                    raw = value if isinstance(value, bytes) else str(value)
                    evidence.add(Place.DATABASE, f"{table}.{name}", raw)
    finally:
        await connection.close()
    return rows


async def _read_table(connection: asyncpg.Connection, table: str) -> list[asyncpg.Record]:
    """The owner is held to row-level security like everybody: it is lifted, and rolled back.

    Table by table, as the node works on meanwhile: who holds one and wants the next may meet another that has
    them the other way round.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
        return list(await connection.fetch(f'SELECT t, t.* FROM "{table}" t'))
    finally:
        await transaction.rollback()


def owner_url(node: NodeProcess) -> str:
    credentials = load_credentials(node.data / "postgres" / "credentials.json")
    assert credentials is not None
    _, _, rest = node.database_url.partition("@")
    return f"postgresql://{OWNER}:{credentials.owner_password}@{rest}"


async def list_tables(connection: asyncpg.Connection) -> list[str]:
    found = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    )
    return [row["tablename"] for row in found]


def collect_redis(node: NodeProcess, evidence: Evidence) -> int:
    """Every key with its value, in each form that Redis gives it; returns how many there are."""
    keys = 0
    with redis.Redis.from_url(node.redis_url) as client:
        for key in client.scan_iter(count=1000):
            keys += 1
            evidence.add(Place.REDIS, "a key", key)
            evidence.add(Place.REDIS, repr(key), client.dump(key) or b"")
            for read in (client.get, client.hgetall, client.smembers, client.xrange):
                try:
                    value = read(key)
                except ResponseError:
                    continue
                evidence.add(Place.REDIS, repr(key), repr(value))
                for part in value.values() if isinstance(value, dict) else ():
                    with suppress(zlib.error):  # RQ compresses what jobs are called with
                        evidence.add(Place.REDIS, repr(key), zlib.decompress(part))
            for read_range in (client.lrange, client.zrange):
                try:
                    evidence.add(Place.REDIS, repr(key), repr(read_range(key, 0, -1)))
                except ResponseError:
                    continue
    return keys


def collect_processes(node: NodeProcess, evidence: Evidence) -> int:
    """Arguments, title and environment of the node and all below it; returns how many there are."""
    family = node.program.family()
    for member in family:
        try:
            arguments, name = "\0".join(member.cmdline()), member.name()
            variables = Path(f"/proc/{member.pid}/environ").read_bytes()
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        is_node = member.pid == node.program.process.pid
        evidence.add(Place.ARGUMENTS, f"{name} {arguments[:60]}", f"{name}\0{arguments}")
        place = Place.NODE_ENVIRONMENT if is_node else Place.CHILD_ENVIRONMENT
        evidence.add(place, name, variables)
    return len(family)


# -- collecting from one that has ended


def collect_files(node: NodeProcess, temporary: Path, evidence: Evidence) -> int:
    """Every file of the data directory, the temporary one and the logs; returns how many there are."""
    files = 0
    for path in sorted(node.data.rglob("*")):
        if path.is_file() and not path.is_symlink():
            files += 1
            relative = path.relative_to(node.data)
            evidence.add(place_of(relative), str(relative), path.read_bytes())
    for path in sorted(temporary.rglob("*")):
        if path.is_file():
            evidence.add(Place.TEMPORARY_FILES, path.name, path.read_bytes())
    evidence.add(Place.LOGS, "the node's log", node.program.log_file.read_bytes())
    evidence.add(Place.TERMINAL, "the node's output", node.program.output_file.read_bytes())
    return files


def place_of(relative: Path) -> Place:
    """Which place a file of the data directory belongs to."""
    if relative.suffix == ".log":
        return Place.LOGS
    if relative.name in {"platform.key", "secret.keys", "credentials.json"}:
        return Place.KEY_FILES
    top = {
        "postgres": Place.DATABASE,
        "redis": Place.REDIS,
        "vectors": Place.VECTORS,
        "blobs": Place.BLOBS,
    }
    return top.get(relative.parts[0], Place.TEMPORARY_FILES)
