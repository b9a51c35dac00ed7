"""Slowing down who guesses passwords: by account, and by the network address that it comes from.

An attempt is counted as failed in a transaction of its own before its password is looked at, and taken back
when it was right: guesses sent at the same time find each other's counts. Accounts that don't exist
are counted like those that do, so that waiting tells nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from minirag.errors import LimitExceeded
from minirag.services.ports.people import SignInRepository, Slowdown

PER_ACCOUNT = Slowdown(free=5, longest_wait=300.0, forgiven_after=3600.0)
PEER_LONGEST_WAIT = 60.0
PEER_FORGIVEN_AFTER = 60.0
IPV6_SITE_BITS = 64
"""One customer of a network has at least so many addresses."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt is counted under, in the order in which rows are locked."""

    account: bytes
    peer: bytes | None

    @property
    def subjects(self) -> Sequence[bytes]:
        return [self.account, *filter(None, [self.peer])]


class SignInSlowdown:
    """`peer_free` failures from one address are free; 0 doesn't count addresses, where all calls come
    from one proxy's."""

    def __init__(self, *, peer_free: int) -> None:
        self._per_peer = (
            Slowdown(peer_free, PEER_LONGEST_WAIT, PEER_FORGIVEN_AFTER) if peer_free else None
        )

    def attempt(self, slug: str, email: str, peer: str) -> Attempt:
        account = _digest("account", slug, email.lower())
        counts_peer = self._per_peer is not None and peer
        return Attempt(account, _digest("peer", _site(peer)) if counts_peer else None)

    async def begin(self, sign_ins: SignInRepository, attempt: Attempt) -> None:
        """Count it; the caller commits before it looks at the password.

        Raises `LimitExceeded` when it has to wait; the transaction then ends without having counted.
        """
        slowdowns = [PER_ACCOUNT, self._per_peer]
        for subject, slowdown in zip(attempt.subjects, filter(None, slowdowns), strict=False):
            wait = await sign_ins.begin_attempt(subject, slowdown)
            if wait is not None:
                raise LimitExceeded(
                    "too many sign-ins failed for this account or from this address: wait before the"
                    " next one",
                    subject="sign_ins",
                    reason="SIGN_IN_SLOWED",
                    retry_after=max(wait, 0.001),
                )

    async def take_back(self, sign_ins: SignInRepository, attempt: Attempt) -> None:
        """For an attempt whose password nobody looked at."""
        for subject in attempt.subjects:
            await sign_ins.forgive_attempt(subject)

    async def end_well(self, sign_ins: SignInRepository, attempt: Attempt) -> None:
        """For the right password: the account's failures are forgotten, the address keeps the others."""
        await sign_ins.forget_attempts(attempt.account)
        if attempt.peer is not None:
            await sign_ins.forgive_attempt(attempt.peer)


def _site(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_SITE_BITS), strict=False))
    return str(address)


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
