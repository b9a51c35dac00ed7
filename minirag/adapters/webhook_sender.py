"""Sends events to webhooks by the guarded HTTP client."""

from __future__ import annotations

from collections.abc import Mapping

import minirag
from minirag.adapters.outbound import Answer, GuardedClient
from minirag.adapters.retry_after import read_retry_after
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
    """Seconds that the target asks for."""
    if answer.status not in SAYS_WHEN:
        return None
    return read_retry_after(answer.headers.get("retry-after", ""))
