"""The whole isolation matrix and every mutant: `python -m tests.isolation`, which `make isolation` runs.

The suite runs the same tests on fewer cells and rounds. The last line says what was counted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    os.environ["ISOLATION"] = "complete"
    import pytest  # the tests read the environment when they are imported

    from tests.isolation.tally import TALLY  # the same

    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--timeout", "1800"]
    code = pytest.main([str(Path(__file__).parent), *options, *sys.argv[1:]])
    print(*TALLY.lines, sep="\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
