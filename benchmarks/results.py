"""What a row of the table says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.rounds import Spread


@dataclass(frozen=True, slots=True)
class Target:
    """What the figure should be: at least, or at most, so much."""

    value: float
    is_upper_limit: bool = False

    def is_met_by(self, figure: float) -> bool:
        return figure <= self.value if self.is_upper_limit else figure >= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ours` and `baseline` are in `unit`; `figure` is their ratio or difference."""

    key: str
    what: str
    unit: str
    ours: Spread
    baseline: Spread
    baseline_name: str
    figure: Spread
    figure_unit: str
    """`x` for a ratio, `ms` for a difference."""
    target: Target | None
    """None for a figure that is only told."""
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        return self.target is None or self.target.is_met_by(self.figure.median)
