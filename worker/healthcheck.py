"""`python -m worker.healthcheck [FILE]`: exit code 0 while the worker of this machine is alive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from worker.pulse import LONGEST_SILENCE, default_pulse_file, is_fresh


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 alive, 1 silent."""
    path = Path(arguments[0]) if arguments else default_pulse_file()
    if is_fresh(path):
        return 0
    sys.stderr.write(f"{path} was not touched within {LONGEST_SILENCE:.0f} s: no worker is alive\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
