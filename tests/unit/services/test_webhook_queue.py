"""When deliveries are tried again, and who may send now."""

from __future__ import annotations

from itertools import pairwise
from uuid import uuid4

import pytest

from minirag.services import webhook_delivery
from minirag.services.jobs import TryLater
from minirag.services.webhook_delivery import (
    LONGEST_RETRY_AFTER,
    MOST_ATTEMPTS,
    WAITS,
    DeliveryQueue,
    wait_after,
)


def test_waits_come_to_about_a_day() -> None:
    assert 22 * 3600 < sum(WAITS) < 30 * 3600
    assert list(WAITS) == sorted(WAITS)
    waited = [wait_after(attempt, None) for attempt in range(1, MOST_ATTEMPTS)]
    assert all(wait <= waited[n] <= wait * 1.2 for n, wait in enumerate(WAITS))
    assert len({wait_after(1, None) for _ in range(20)}) > 1


def test_target_that_names_a_time_is_not_asked_earlier_nor_much_later() -> None:
    assert wait_after(1, 300) >= 300
    assert wait_after(9, 300) >= WAITS[8]
    assert wait_after(1, 10**9) <= LONGEST_RETRY_AFTER * 1.2


def test_those_that_are_turned_away_come_back_one_after_the_other() -> None:
    now = 0.0
    queue = DeliveryQueue(lambda: now)
    tenant, slow, fast = uuid4(), uuid4(), uuid4()
    with queue.enter(tenant, slow), queue.enter(tenant, slow):
        now += 10
    delays = []
    with queue.enter(tenant, slow), queue.enter(tenant, slow):
        for _ in range(20):
            with pytest.raises(TryLater) as turned, queue.enter(tenant, slow):
                pass
            assert not turned.value.counts
            delays.append(turned.value.delay)
        with queue.enter(tenant, fast):
            pass

    steps = [later - sooner for sooner, later in pairwise(delays)]
    assert min(steps) > 1
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_tenant_and_process_have_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_delivery, "TENANT_SLOTS", 1)
    monkeypatch.setattr(webhook_delivery, "PROCESS_SLOTS", 2)
    queue = DeliveryQueue()
    noisy, quiet, third = uuid4(), uuid4(), uuid4()

    with queue.enter(noisy, uuid4()):
        with pytest.raises(TryLater), queue.enter(noisy, uuid4()):
            pass
        with queue.enter(quiet, uuid4()), pytest.raises(TryLater), queue.enter(third, uuid4()):
            pass
        with queue.enter(third, uuid4()):
            pass
