"""What a process that reads untrusted bytes gives up, without needing any privilege for it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from minirag.adapters.parsing.system_calls import filter_system_calls, forbid_sockets

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
MOST_OPEN_FILES = 32
MOST_DESCRIPTORS = 1024 * 1024
"""Looked at where their number has no limit."""
SECONDS_OF_GRACE = 2
"""How much later than the caller's own clock the child's alarm rings."""

_library = ctypes.CDLL(None, use_errno=True)


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends (Linux; elsewhere the end of a socket does it)."""
    if sys.platform == "linux":
        _library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before that call
        os._exit(1)


def leave_network() -> bool:
    """Move this process and its later children to a network namespace without any interface.

    Return False where that isn't allowed: outside Linux, with user namespaces switched off, and under the
    seccomp profiles of most container engines. Needs a single-threaded process.
    """
    if sys.platform != "linux":
        return False
    both = _library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    return bool(both == 0 or _library.unshare(_CLONE_NEWNET) == 0)


def confine(*, memory_bytes: int, seconds: float, filters_calls: bool) -> None:
    """Set this process's limits for good: memory, CPU and wall time, files, processes, core dumps.

    With `filters_calls` the kernel refuses everything that a parser has no use for, too
    (`system_calls`); raises `OSError` when it doesn't take the filter.
    """
    _limit(memory_bytes, seconds)
    for kind, limit in ((resource.RLIMIT_NOFILE, MOST_OPEN_FILES), (resource.RLIMIT_NPROC, 0)):
        _set_limit(kind, limit)
    if filters_calls and not filter_system_calls():
        raise OSError("the kernel doesn't take the filter of system calls")


def confine_helper(*, memory_bytes: int, seconds: float) -> None:
    """The same for a process that starts a program: it may, without network; files it can only read."""
    _limit(memory_bytes, seconds)
    forbid_sockets()


def close_descriptors(kept: Collection[int]) -> None:
    """Close every descriptor but these."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = MOST_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit
    previous = -1
    for descriptor in (*sorted(kept), highest):
        if descriptor > previous + 1:  # Python 3.11 takes an empty range for all there are
            os.closerange(previous + 1, descriptor)
        previous = descriptor


def _limit(memory_bytes: int, seconds: float) -> None:
    whole_seconds = max(1, int(seconds + 0.999))
    with suppress(OSError):  # when memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _set_limit(kind, limit)
    # The lower one ends the process by SIGXCPU, which says why; the upper one by SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (whole_seconds, whole_seconds + 1))
    if sys.platform == "linux":
        _library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(whole_seconds + SECONDS_OF_GRACE)


def _set_limit(kind: int, limit: int) -> None:
    with suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
        resource.setrlimit(kind, (limit, limit))
