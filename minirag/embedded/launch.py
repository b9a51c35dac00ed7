"""Becomes a server process that ends when its parent does.

Run as a script: `launch.py PARENT_PID DEATH_SIGNAL UID GID -- COMMAND...`, with -1 for "as it is".
A script rather than a `preexec_fn`: a restart happens beside gRPC's and the workers' threads, where
Python code between fork and exec can deadlock. Without one, `subprocess` uses vfork.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(arguments: list[str]) -> None:
    """Drop to the account, tie this process to its parent, and replace it by the command."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[5:]
    # An exec keeps the signal mask and ignored signals, and Python ignores SIGPIPE.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for each in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    os.umask(0o077)
    library = ctypes.CDLL(None, use_errno=True)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid: the kernel forgets it when credentials change.
        if library.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died before prctl, and no signal will come
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # no shell is what is wanted


if __name__ == "__main__":
    become(sys.argv[1:])
