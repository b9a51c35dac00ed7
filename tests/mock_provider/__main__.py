"""`python -m tests.mock_provider --port 0`: prints its base URL, then serves until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

from tests.mock_provider.server import start


async def _serve(host: str, port: int) -> None:
    running = await start(host, port)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(running.url, flush=True)
    await stopped.wait()
    await running.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mock_provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.host, arguments.port))


main()
