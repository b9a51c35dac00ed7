"""`python -m tests.hostile`: send hostile files to a node of its own, and tell in the last line how it went.

Exit code 0 when each file ended within 30 s, the node lived on, and its sandbox stayed within its memory.
`--seed` repeats a run, `--only` chooses files by a pattern in their name.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter

import uvloop

from tests.hostile.campaign import NODE_SETTINGS, Campaign, Tally
from tests.hostile.files import hostile_files
from tests.support.node import NodeProcess
from tests.support.servers import open_directory


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only files whose name has this pattern")
    arguments = parser.parse_args()
    files = [f for f in hostile_files(arguments.seed) if re.search(arguments.only, f.name)]
    print(f"{len(files)} files, seed {arguments.seed}", flush=True)

    def tell(progress: str) -> None:
        print(progress, flush=True)

    with open_directory() as directory:
        node = NodeProcess(directory, NODE_SETTINGS)
        try:
            node.start()
            tally = uvloop.run(Campaign(node, files, tell).run())
        finally:
            node.close()
    report(tally)
    print(tally.last_line())
    return 0 if tally.is_clean else 1


def report(tally: Tally) -> None:
    """Print how files ended, and each that took too long."""
    states = Counter(outcome.state for outcome in tally.outcomes)
    print(", ".join(f"{state} {count}" for state, count in states.most_common()))
    slowest = max(tally.outcomes, key=lambda outcome: outcome.seconds)
    print(f"slowest: {slowest.file.name}, {slowest.seconds:.1f} s")
    for outcome in tally.outcomes:
        if not outcome.is_final:
            print(f"not in time: {outcome.file.name}, {outcome.state}, {outcome.seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
