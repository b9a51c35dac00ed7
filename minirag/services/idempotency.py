"""Mutations that may be sent twice: the outcome is kept under the request's id, in its transaction.

What is kept is small: the ids of what was made (and, for a new API key, its secret). A repeat reads the
resource again, as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import UUID

from minirag.services.ports.requests import RequestKey, RequestRepository

Outcome = Mapping[str, str]


async def recall(requests: RequestRepository, request: RequestKey | None) -> Outcome | None:
    """Return the outcome of the first such request, or None if this is the first.

    Raises `Conflict` when the id was used for another request.
    """
    if request is None:
        return None
    stored = await requests.begin(request)
    if stored is None:
        return None
    outcome: Outcome = json.loads(stored)
    return outcome


async def remember(
    requests: RequestRepository, request: RequestKey | None, **outcome: UUID | str
) -> None:
    """Keep the outcome for repeats; call it in the transaction that makes the change."""
    if request is not None:
        text = {name: str(value) for name, value in outcome.items()}
        await requests.finish(request, json.dumps(text).encode())
