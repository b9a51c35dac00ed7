"""A tar archive (POSIX.1-2001) as a stream: headers and padding around contents of known size."""

from __future__ import annotations

import tarfile

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def member_header(name: str, size: int, *, modified: float) -> bytes:
    """What stands before a regular file's `size` bytes; `modified` in seconds since 1970."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = int(modified)
    return entry.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """What stands behind `size` bytes, so that the next header begins on a block."""
    return bytes(-size % BLOCK)
