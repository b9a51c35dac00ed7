"""A process with both servers under supervision, for tests to kill: `node.py DIRECTORY`.

Prints one line of JSON once both are up, and stops them on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from minirag.embedded.errors import EmbeddedError
from minirag.embedded.layout import DataDirectory
from minirag.embedded.postgres import PostgresServer
from minirag.embedded.redis import RedisServer
from minirag.embedded.supervisor import Supervisor


def run(path: Path) -> None:
    data = DataDirectory(path)
    data.prepare()
    with data.lock():
        sockets = data.socket_directory()
        postgres = PostgresServer(data.postgres, socket_directory=sockets)
        redis = RedisServer(data.redis, sockets / "redis.sock")
        supervisor = Supervisor([postgres, redis])
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        supervisor.start()
        state = {
            "pids": [postgres.pid, redis.pid],
            "database": postgres.owner_url(),
            "redis": redis.url,
        }
        print(json.dumps(state), flush=True)
        signal.sigwait([signal.SIGTERM, signal.SIGINT])
        supervisor.stop()


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except EmbeddedError as error:
        sys.exit(str(error))
