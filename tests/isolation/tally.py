"""What the isolation tests counted, for the last lines of `make isolation`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Mutants:
    made: int = 0
    in_effect: int = 0
    """Those that did harm where nothing else held them."""
    held: int = 0
    """Those under which nothing foreign was returned, changed, or put into a prompt."""


@dataclass
class Tally:
    cells: int = 0
    leaks: int = 0
    by_sort: dict[str, Mutants] = field(default_factory=lambda: defaultdict(Mutants))
    notes: list[str] = field(default_factory=list)

    def note_mutants(self, sort: str, made: int, in_effect: int, held: int) -> None:
        found = self.by_sort[sort]
        found.made += made
        found.in_effect += in_effect
        found.held += held

    @property
    def lines(self) -> list[str]:
        """What was counted; the last line is the sum. A mutant is caught if it was in effect and held."""
        sorts = [
            f"{sort}: {found.made} mutants, {found.in_effect} in effect, {found.held} held"
            for sort, found in self.by_sort.items()
        ]
        made = sum(found.made for found in self.by_sort.values())
        caught = sum(min(found.in_effect, found.held) for found in self.by_sort.values())
        last = f"{self.cells} cells, {self.leaks} leaks, {made} mutants, {caught} caught"
        return [*self.notes, *sorts, f"isolation: {last}"]


TALLY = Tally()
