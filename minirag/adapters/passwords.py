"""Password hashes: Argon2id (RFC 9106), computed on a few threads beside the event loop."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from minirag.errors import LimitExceeded

T = TypeVar("T")

SALT_BYTES = 16
HASH_BYTES = 32
MOST_THREADS = 4
MOST_WAITING = 100
BUSY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HashCost:
    """Argon2's parameters: above the least that OWASP recommends (19 MiB, two passes), and small enough
    that a sign-in takes about a tenth of a second of one processor."""

    memory_kib: int = 32 * 1024
    passes: int = 3
    lanes: int = 1


class Argon2Passwords:
    """`PasswordHasher`. At most `MOST_THREADS` hashes are under way, and `MOST_WAITING` calls wait."""

    def __init__(self, cost: HashCost | None = None, *, threads: int | None = None) -> None:
        cost = cost or HashCost()
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=HASH_BYTES,
            salt_len=SALT_BYTES,
            type=argon2.Type.ID,
        )
        # As a hash of this cost looks, but of no password: verifying against it takes as long as any.
        self._nobodys = (
            f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
            f"${_encode(secrets.token_bytes(SALT_BYTES))}${_encode(secrets.token_bytes(HASH_BYTES))}"
        )
        # Argon2 lets go of the GIL; more threads than processors would only take more memory.
        self._threads = ThreadPoolExecutor(
            threads or min(MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="password"
        )
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._compute(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        found = self._nobodys if password_hash is None else password_hash
        is_right = await self._compute(lambda: self._matches(found, password))
        return is_right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    async def close(self) -> None:
        """Wait for the hashes under way."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _compute(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise LimitExceeded(
                "the server checks as many passwords as it may: retry a little later",
                subject="server.passwords",
                retry_after=BUSY_SECONDS,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _encode(raw: bytes) -> str:
    """Base64 as in encoded hashes, without padding."""
    return base64.b64encode(raw).rstrip(b"=").decode()
