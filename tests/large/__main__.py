"""`python -m tests.large`: one large text through a server and a worker; the last line tells the figures."""

from __future__ import annotations

import argparse
import sys

import uvloop

from tests.large.interrupted import interrupt
from tests.large.passage import MEBIBYTE, pass_through
from tests.support.servers import open_directory


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.large")
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument(
        "--upload-only",
        action="store_true",
        help="only send it, with a kill -9 of the sender half-way",
    )
    arguments = parser.parse_args()
    size = arguments.mebibytes * MEBIBYTE
    measure = interrupt if arguments.upload_only else pass_through
    with open_directory() as directory:
        measured = uvloop.run(measure(directory, size, lambda told: print(told, flush=True)))
    print(measured.last_line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
