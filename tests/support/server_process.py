"""A server process for tests: the production `run_server` on services in memory.

`python -m tests.support.server_process [setting=value ...]`

It takes MINIRAG_* variables too. An answer waits after its first delta until the process receives
SIGUSR1. Uploads are counted and forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from minirag.config import Settings, SettingsError, load_settings
from minirag.domain.access import TenantContext
from minirag.server import run_server
from minirag.services.accepting import Accepted, NewDocument
from minirag.services.ports.requests import RequestKey
from tests.support.fake_services import FakeContainer, FakeDocuments, make_document


class ForgetfulDocuments(FakeDocuments):
    """Holds one part of an upload at a time, as a blob store does."""

    async def upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        *,
        request: RequestKey | None,
    ) -> Accepted:
        size, digest = 0, hashlib.sha256()
        async for part in content:
            size += len(part)
            digest.update(part)
        document = make_document(context.tenant_id, new, b"")
        version = replace(document.version, byte_size=size, sha256=digest.hexdigest())
        return Accepted(replace(document, version=version))


class TellingContainer(FakeContainer):
    """Says in the log when it is closed."""

    async def close(self) -> None:
        await super().close()
        structlog.get_logger().info("container_closed")


async def open_container(settings: Settings) -> FakeContainer:
    container = TellingContainer(settings, documents=ForgetfulDocuments())
    # The key of all scopes is known from the start.
    container.authenticator.key_with()
    gate = container.answers.gate = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, gate.set)
    return container


def main(arguments: list[str]) -> int:
    chosen = dict(argument.split("=", 1) for argument in arguments)
    try:
        settings = load_settings(_env_file=None, **{"port": 0, "drain_delay": 0, **chosen})
    except SettingsError as error:
        sys.exit(str(error))
    return run_server(settings, open_container)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
