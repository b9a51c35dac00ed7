"""What is struck when, by a seed: the same seed gives the same strikes in the same order."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What can happen to a deployment."""

    KILL_SERVER = "kill a server"
    STOP_SERVER = "stop a server for a while"
    KILL_WORKER = "kill a worker, its relay with it"
    STOP_WORKER = "stop a worker for a while"
    FLUSH_REDIS = "flush Redis"
    KILL_REDIS = "kill Redis"
    LOSE_REDIS = "kill Redis and lose its data"
    RESTART_POSTGRES = "restart Postgres"
    KILL_POSTGRES = "kill Postgres"
    KILL_VECTORS = "kill the vector store"


_WEIGHTS = {
    Kind.KILL_SERVER: 20,
    Kind.STOP_SERVER: 10,
    Kind.KILL_WORKER: 25,
    Kind.STOP_WORKER: 10,
    Kind.FLUSH_REDIS: 12,
    Kind.KILL_REDIS: 4,
    Kind.LOSE_REDIS: 4,
    Kind.RESTART_POSTGRES: 4,
    Kind.KILL_POSTGRES: 4,
    Kind.KILL_VECTORS: 7,
}
LONGEST_PAUSE = 1.5
LONGEST_STOP = 12.0
LONGEST_ABSENCE = 2.0


@dataclass(frozen=True)
class Strike:
    """`pause` seconds after the one before, `kind` strikes the `which`-th of its sort.

    `length` is how long a stopped process stays stopped, and a store away.
    """

    kind: Kind
    which: int
    pause: float
    length: float

    def __str__(self) -> str:
        return f"{self.kind} ({self.which}, {self.length:.1f} s)"


def plan(seed: int, deaths: int) -> list[Strike]:
    """Return the strikes: each kind once at first, in some order, then by chance."""
    chance = random.Random(seed)
    kinds = list(Kind)
    chance.shuffle(kinds)
    kinds = kinds[:deaths]
    kinds += chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=max(0, deaths - len(kinds)))
    return [_make(kind, chance) for kind in kinds]


def _make(kind: Kind, chance: random.Random) -> Strike:
    is_stop = kind in (Kind.STOP_SERVER, Kind.STOP_WORKER)
    longest = LONGEST_STOP if is_stop else LONGEST_ABSENCE
    # Short ones are the most: a few outlast a lease's renewal.
    length = longest * chance.random() ** 2
    return Strike(kind, chance.randrange(100), chance.uniform(0, LONGEST_PAUSE), length)
