"""What the isolation tests counted, for the last lines of `make isolation`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """A mutant is caught when it was seen to be in effect, and the next lock held all the same."""

    cells: int = 0
    leaks: int = 0
    mutants: int = 0
    caught: int = 0
    notes: list[str] = field(default_factory=list)

    def note_mutants(self, what: str, made: int, in_effect: int, held: int) -> None:
        """Count mutants of one sort, and tell of them in a line of their own."""
        self.mutants += made
        self.caught += min(in_effect, held)
        self.notes.append(f"{what}: {made} mutants, {in_effect} in effect, {held} held")


TALLY = Tally()
