"""What targets answer, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from minirag.adapters.outbound import Answer, GuardedClient
from minirag.adapters.webhook_sender import HttpWebhookSender

NINES = "9" * 20


class OneAnswer(GuardedClient):
    """Sends nothing, and is answered with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Answer:
        return self._answer


@pytest.mark.parametrize(
    "retry_after",
    [
        f"Mon, 01 Jan {NINES} 00:00:00 GMT",
        f"Mon, {NINES} Jan 2030 00:00:00 GMT",
        f"Mon, 01 Jan 2030 00:00:00 +{NINES}",
        "Mon, 01 Jan 2030 00:00:00 +9999",
        "²",
    ],
)
async def test_retry_after_that_no_calendar_holds_is_left_aside(retry_after: str) -> None:
    sender = HttpWebhookSender(OneAnswer(Answer(503, {"retry-after": retry_after})))

    attempt = await sender.send("https://hooks.example.com/", {}, b"{}", seconds=1)

    assert (attempt.status, attempt.retry_after) == (503, None)
