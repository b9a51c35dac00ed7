"""`python -m tests.large`: one large text through a server and a worker; the last line tells the figures."""

from __future__ import annotations

import argparse
import sys

import uvloop

from tests.large.passage import MEBIBYTE, pass_through
from tests.support.servers import open_directory


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.large")
    parser.add_argument("--mebibytes", type=int, default=1024)
    size = parser.parse_args().mebibytes * MEBIBYTE
    with open_directory() as directory:
        passage = uvloop.run(pass_through(directory, size, lambda told: print(told, flush=True)))
    print(passage.last_line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
