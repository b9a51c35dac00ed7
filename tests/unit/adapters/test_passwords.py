"""Argon2id hashes, beside the event loop and a few at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import argon2
import pytest

from minirag.adapters import passwords as module
from minirag.adapters.passwords import Argon2Passwords, HashCost
from minirag.errors import LimitExceeded

CHEAP = HashCost(memory_kib=64, passes=1)


@pytest.fixture
async def passwords() -> AsyncIterator[Argon2Passwords]:
    passwords = Argon2Passwords(CHEAP, threads=2)
    yield passwords
    await passwords.close()


async def test_a_hash_takes_its_own_password_only(passwords: Argon2Passwords) -> None:
    made = await passwords.hash("Größe \0 🙂 twelve")

    assert await passwords.verify(made, "Größe \0 🙂 twelve")
    assert not await passwords.verify(made, "Größe \0 🙂 Twelve")
    assert not await passwords.verify(made, "Größe ")
    assert made != await passwords.hash("Größe \0 🙂 twelve")


async def test_nobodys_hash_takes_no_password_and_is_computed_all_the_same(
    passwords: Argon2Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    verify = argon2.PasswordHasher.verify

    def note(self: argon2.PasswordHasher, found: str, password: bytes) -> bool:
        looked_at.append(found)
        return bool(verify(self, found, password))

    monkeypatch.setattr(argon2.PasswordHasher, "verify", note)

    assert not await passwords.verify(None, "anything at all")
    [found] = looked_at
    own = await passwords.hash("a password")
    assert re.sub(r"\$[^$]+\$[^$]+$", "", found) == re.sub(r"\$[^$]+\$[^$]+$", "", own)
    assert len(found) == len(own)


@pytest.mark.parametrize("broken", ["", "no hash", "$argon2id$v=19$m=64,t=1,p=1$", "$2b$12$abc"])
async def test_what_is_no_hash_takes_no_password(passwords: Argon2Passwords, broken: str) -> None:
    assert not await passwords.verify(broken, "anything at all")


async def test_hash_of_other_parameters_is_outdated(passwords: Argon2Passwords) -> None:
    made = await passwords.hash("a password")
    usual = Argon2Passwords(threads=1)

    assert not passwords.is_outdated(made)
    assert usual.is_outdated(made)
    await usual.close()


def test_parameters_are_at_least_what_owasp_recommends() -> None:
    cost = HashCost()

    assert cost.memory_kib >= 19 * 1024
    assert cost.passes >= 2


async def test_only_a_few_are_under_way_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    passwords = Argon2Passwords(HashCost(memory_kib=4096, passes=1), threads=1)

    outcomes = await asyncio.gather(
        *(passwords.hash("a password") for _ in range(5)), return_exceptions=True
    )
    after = await passwords.hash("a password")
    await passwords.close()

    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [LimitExceeded] * 2
    assert after
