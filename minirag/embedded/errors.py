"""What can go wrong with the children, drawn as a tree.

EmbeddedError
├── AlreadyRunning      another process uses the data directory
├── BinaryMissing       no server binary for this machine
└── ChildFailed         a server ended, or wasn't ready in time; holds the last lines of its log

None of these ever becomes a gRPC status: they end the start, and are printed for the person who started it.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """The one-machine node can't run; the message says what to do."""


class AlreadyRunning(EmbeddedError):
    """The data directory is in use by process `pid` (None when unknown)."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class BinaryMissing(EmbeddedError):
    pass


class ChildFailed(EmbeddedError):
    pass
