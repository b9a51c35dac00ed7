"""Whose turn it is, when several wait and one has far more to do than the others.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): a clock that counts turns instead of seconds, and for
each tenant the time on it at which its next turn may begin. Who had a turn has its next one a turn later, or
a part of a turn with a weight above 1; who comes anew begins now, however much the others have left.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

MOST_PAST = 256


class Turns:
    """What one relay knows of the turns that tenants had. Several relays are each fair by themselves."""

    def __init__(self) -> None:
        self.clock = 0.0
        self._next: dict[UUID, float] = {}

    @property
    def ahead(self) -> Mapping[UUID, float]:
        """Tenants whose next turn begins later than now, and when."""
        return {tenant: start for tenant, start in self._next.items() if start > self.clock}

    def is_ahead(self, tenant_id: UUID) -> bool:
        return self._next.get(tenant_id, self.clock) > self.clock

    def find_start(self, tenant_id: UUID) -> float:
        return max(self._next.get(tenant_id, self.clock), self.clock)

    def note(self, tenant_id: UUID, weight: float, *, moves_clock: bool = True) -> None:
        """The tenant has had a turn. One that went before its time, past the others, moves no clock."""
        start = self.find_start(tenant_id)
        self._next[tenant_id] = start + 1 / weight
        if moves_clock:
            self.clock = start
        if len(self._next) > MOST_PAST:
            self._next = dict(self.ahead)
