"""Looking again whether the credential of an endless call holds: it may be revoked while the call is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from minirag.api.interceptors.running_calls import RunningCalls, Task
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated

log = structlog.get_logger()

RECHECK_SECONDS = 5.0


async def end_when_refused(
    authenticate: Callable[[], Awaitable[object]], running: RunningCalls, task: Task
) -> None:
    """Cut `task` off once `authenticate` refuses its credential; runs until cancelled.

    While nobody can tell, as Postgres is away, the call goes on: it reads nothing then either.
    """
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        try:
            await authenticate()
        except (Unauthenticated, PermissionDenied) as error:
            running.end(task, error)
            return
        except MiniRagError:
            continue
        except Exception:  # the next look may do better, and must take place
            log.exception("recheck_failed")
