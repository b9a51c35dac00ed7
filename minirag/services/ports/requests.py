"""Mutations that may be sent twice, and what the first one came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The identity of a mutation that may be sent twice.

    `fingerprint` is a SHA-256 over the request without its id: the same id with another fingerprint
    is a mistake of the caller.
    """

    request_id: UUID
    method: str
    fingerprint: bytes


class RequestRepository(Protocol):
    """Outcomes of mutations, kept 24 h, so that a repeat returns the first one.

    Outcomes are encrypted under a key derived from the request id, which is stored as a hash only: at
    rest nobody but the caller who knows the id can read one.
    """

    async def begin(self, key: RequestKey) -> bytes | None:
        """None when this is the first time (the id is now taken); else the stored outcome.

        Waits for a concurrent transaction with the same id. Raises `Conflict` with reason
        `REQUEST_ID_REUSED` when method or fingerprint differ.
        """

    async def is_finished(self, key: RequestKey) -> bool:
        """True when a request with this id has an outcome, whatever it was."""

    async def finish(self, key: RequestKey, outcome: bytes) -> None:
        """Store what a repeat is answered with; in the transaction of the mutation itself."""
