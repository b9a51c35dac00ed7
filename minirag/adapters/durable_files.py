"""Files that are whole or absent, and survive a power cut."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def publish_file(source: Path, target: Path, root: Path) -> None:
    """Rename `source` to `target`, both under `root`, and return when that is on the disk."""
    _synchronise(source)
    known = target.parent
    while known != root and not known.is_dir():
        known = known.parent
    while True:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            source.rename(target)
        except FileNotFoundError:
            if not source.exists():
                raise
            continue  # the directory was empty, and was cleaned up in between
        break
    for directory in (target.parent, *target.parent.parents):
        _synchronise(directory)  # an entry is durable when its directory is
        if directory == known:
            break


def remove_stale_files(directory: Path, *, older_than: float) -> None:
    """Remove files of `directory` that weren't written to for `older_than` seconds: a writer died."""
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
