"""What the exit code of `minirag` says to a script."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """0 is success, 2 is also what the command line parser says of a wrong option."""

    OK = 0
    FAILURE = 1
    """The server failed, or something broke that no other code names."""
    USAGE = 2
    """A wrong command line or setting."""
    NOT_FOUND = 3
    DENIED = 4
    """No credential, one that doesn't hold, or one without the right."""
    REFUSED = 5
    """The request is wrong, or the state of things forbids it; the message says which."""
    UNAVAILABLE = 6
    """The server or something behind it is away or over its limit: try again later."""
    DOCUMENTS_FAILED = 7
    """Some documents ended FAILED; the others are READY."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """The reader of the output went away, as `head` does; what a shell says of a program so ended."""
