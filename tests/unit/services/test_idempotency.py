"""Outcomes of mutations that are sent twice."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from minirag.errors import Conflict
from minirag.services.idempotency import recall, remember
from minirag.services.ports.requests import RequestKey
from tests.support.fake_storage import FakeRequests

KEY = RequestKey(uuid4(), "CreateCollection", b"fingerprint")


async def test_first_time_recalls_nothing_and_a_repeat_the_outcome() -> None:
    requests = FakeRequests()
    made = uuid4()

    first = await recall(requests, KEY)
    await remember(requests, KEY, collection_id=made, secret="ünï")
    repeat = await recall(requests, KEY)

    assert first is None
    assert repeat == {"collection_id": str(made), "secret": "ünï"}


async def test_id_of_another_request_is_a_conflict() -> None:
    requests = FakeRequests()
    await recall(requests, KEY)

    with pytest.raises(Conflict) as raised:
        await recall(requests, replace(KEY, fingerprint=b"another"))

    assert raised.value.reason == "REQUEST_ID_REUSED"


async def test_mutation_without_an_id_keeps_nothing() -> None:
    requests = FakeRequests()

    recalled = await recall(requests, None)
    await remember(requests, None, collection_id=uuid4())

    assert recalled is None
    assert requests.begun == {}
