"""All hostile files: made when they are asked for, the same ones for the same seed, but for the dates that
some writers put into theirs."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.hostile.bombs import BOMBS
from tests.hostile.damage import DAMAGE, Damage
from tests.hostile.pdfs import PDFS
from tests.hostile.sound import SOUND
from tests.hostile.texts import TEXTS

TEXT_FORMATS = frozenset(("txt", "md", "csv", "tsv", "py"))
"""Of these, what is cut or shuffled is as good as before."""


@dataclass(frozen=True, slots=True)
class HostileFile:
    name: str
    extension: str
    make: Callable[[], bytes]

    @property
    def file_name(self) -> str:
        return f"{self.name.replace(' ', '-').replace('/', '-')}.{self.extension}"


def hostile_files(seed: int) -> Iterator[HostileFile]:
    """Yield all of them."""
    for name, (extension, make) in {**BOMBS, **TEXTS}.items():
        yield HostileFile(name, extension, make)
    for name, make in PDFS.items():
        yield HostileFile(name, "pdf", make)
    for extension, make in SOUND.items():
        for name, damage in DAMAGE.items():
            if extension not in TEXT_FORMATS or name in ("turned bits", "blanked"):
                spoiled = partial(_spoil, make, damage, f"{seed} {extension} {name}")
                yield HostileFile(f"{extension} {name}", extension, spoiled)


def _spoil(make: Callable[[], bytes], damage: Damage, seed: str) -> bytes:
    return damage(make(), random.Random(zlib.crc32(seed.encode())))
