"""Where unix sockets lie: in the data directory, or in a short private one when its path is too long."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from minirag.embedded.account import Account, make_private_directory

PATH_LIMIT_BYTES = 103 if sys.platform == "darwin" else 107
LONGEST_SOCKET_NAME = "/.s.PGSQL.5432.lock"


def digest_of(path: Path) -> str:
    """Twelve characters that stand for a data directory."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def socket_directory_for(data: Path, account: Account | None) -> Path:
    """Create and return the private directory of the sockets of `data`, its path short enough to bind."""
    directory = data / "run"
    if len(os.fsencode(directory.resolve())) + len(LONGEST_SOCKET_NAME) > PATH_LIMIT_BYTES:
        directory = _runtime_base(account) / f"minirag-{os.geteuid()}-{digest_of(data)}"
    make_private_directory(directory, account)
    return directory


def _runtime_base(account: Account | None) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # Root's runtime directory shuts out the account that the servers run as.
    if account is None and runtime and len(runtime) < 40 and os.access(runtime, os.W_OK):
        return Path(runtime)
    return Path("/tmp")  # noqa: S108  # the directory in it is 0700, and refused if another made it
