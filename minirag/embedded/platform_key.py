"""The platform key of a one-machine node: made on first start, kept in a file that only its owner reads."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from minirag.embedded.errors import EmbeddedError
from minirag.embedded.private_files import write_private_file

PREFIX = "mrp_"
_SHAPE = re.compile(r"mrp_[A-Za-z0-9_-]{43}")


def load_or_create_platform_key(path: Path) -> tuple[str, bool]:
    """Return the key, and whether it was made just now (and should be shown this once).

    Raises `EmbeddedError` if the file holds something else.
    """
    try:
        key = path.read_text().strip()
    except FileNotFoundError:
        return _create(path), True
    if not _SHAPE.fullmatch(key):
        raise EmbeddedError(
            f"{path} doesn't hold a platform key: restore it from a backup, or remove it to get a new key"
        )
    path.chmod(0o600)  # a restored backup may have opened it
    return key, False


def _create(path: Path) -> str:
    key = PREFIX + secrets.token_urlsafe(32)
    write_private_file(path, key + "\n")
    return key
