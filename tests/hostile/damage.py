"""What can be done to any file: cut it, turn its bits, blank it, lie about it. A seed does the same again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

Damage = Callable[[bytes, random.Random], bytes]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: max(1, int(len(data) * chance.uniform(0.02, 0.98)))]


def _cut_at_the_end(data: bytes, chance: random.Random) -> bytes:
    return data[: -chance.randint(1, 64)]


def _turn_bits(data: bytes, chance: random.Random) -> bytes:
    turned = bytearray(data)
    for _ in range(max(1, len(data) // 200)):
        turned[chance.randrange(len(turned))] ^= 1 << chance.randrange(8)
    return bytes(turned)


def _blank_the_middle(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) // 3, len(data) // 2 + 1)
    return data[:start] + bytes(len(data) // 4) + data[start + len(data) // 4 :]


def _shuffle(data: bytes, chance: random.Random) -> bytes:
    """The head stays, so that it is taken for what it was; the rest comes in another order."""
    size = max(16, len(data) // 40)
    blocks = [data[start : start + size] for start in range(size, len(data), size)]
    chance.shuffle(blocks)
    return data[:size] + b"".join(blocks)


def _grow_numbers(data: bytes, chance: random.Random) -> bytes:
    """Lengths and offsets become absurd, also where they are binary."""
    grown = bytearray(data)
    for _ in range(30):
        place = chance.randrange(len(grown))
        grown[place : place + 4] = chance.choice(
            (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"9999")
        )
    return bytes(grown)


DAMAGE: Mapping[str, Damage] = {
    "cut": _cut,
    "cut at the end": _cut_at_the_end,
    "turned bits": _turn_bits,
    "blanked": _blank_the_middle,
    "shuffled": _shuffle,
    "absurd numbers": _grow_numbers,
}
