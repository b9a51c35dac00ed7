"""Sends events to webhooks by the guarded HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import minirag
from minirag.adapters.outbound import Answer, GuardedClient
from minirag.services.ports.outbound import TargetFailed, TargetRefused
from minirag.services.ports.webhooks import Attempt

USER_AGENT = f"MiniRAG/{minirag.__version__}"
SAYS_WHEN = frozenset({429, 503})
"""Statuses that may come with Retry-After (RFC 9110, 10.2.3)."""


class HttpWebhookSender:
    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    async def check(self, url: str) -> None:
        await self._client.check(url)

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Attempt:
        sent = {"User-Agent": USER_AGENT, "Content-Type": "application/json", **headers}
        try:
            answer = await self._client.post(url, sent, body, seconds=seconds)
        except TargetRefused as error:
            return Attempt(error=f"nothing was sent: the URL {error}")
        except TargetFailed as error:
            return Attempt(error=str(error))
        return Attempt(answer.status, _describe(answer.status), _retry_after(answer))


def _describe(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"answered {status}: redirects aren't followed, register where it leads to"
    return f"answered {status}"


def _retry_after(answer: Answer) -> float | None:
    """Seconds, from a number of them or a date."""
    text = answer.headers.get("retry-after", "").strip()
    if answer.status not in SAYS_WHEN or not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return max((time - datetime.now(UTC)).total_seconds(), 0.0)
