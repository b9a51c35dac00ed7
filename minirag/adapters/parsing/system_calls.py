"""A seccomp filter: what a process that reads untrusted bytes may still ask of the kernel.

It is a list of what is allowed, as small as a parser gets along with: memory, clocks, and reading and writing
what is open already. Everything else - opening a file, a socket, another process, a signal to one - fails
with EPERM. Linux on x86-64 and ARM64; no library and no privilege is needed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable

# Names in the kernel's own words; numbers on x86-64 and on ARM64, None where there is no such call.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "close": (3, 57),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "getcwd": (79, 17),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_getres": (229, 114),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "times": (100, 153),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "mincore": (27, 232),
    "membarrier": (324, 283),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_ON_ITSELF: dict[str, tuple[int, int]] = {"kill": (62, 129), "tgkill": (234, 131)}
"""Allowed with this process as the first argument: that is how `abort` ends it."""
_ON_CALLER: dict[str, tuple[int, int]] = {"prlimit64": (302, 261)}
"""Allowed with 0, the caller, as the first argument."""

_SOCKETS: dict[str, tuple[int, int]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "io_uring_setup": (425, 425),
}
"""What leads to other machines and processes, for a program that needs the rest."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By machine: the column above, and the AUDIT_ARCH by which the kernel tells it."""
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OTHER_NUMBERS_FROM = 0x40000000
"""On x86-64 the calls of its 32-bit variant start here."""
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL_PROCESS, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def filter_system_calls() -> bool:
    """Leave this process, for good, only the calls listed here; return False where the system can't.

    That is outside of Linux, on other machines, and where the kernel has no seccomp.
    """
    return _install(_allow_listed)


def forbid_sockets() -> bool:
    """Take from this process and what it starts, for good, the calls that lead to other machines."""
    return _install(_forbid_listed)


def is_filter_possible() -> bool:
    """Try it in a child of this process, which must have one thread."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if filter_system_calls() and not _can_open() else 1)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _can_open() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY))
    except PermissionError:
        return False
    return True


def _install(assemble: Callable[[int], list[bytes]]) -> bool:
    column, audit_architecture = _ARCHITECTURES.get(platform.machine(), (0, 0))
    if sys.platform != "linux" or not audit_architecture:
        return False
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_EQUAL, audit_architecture, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),  # a 32-bit call has other numbers
        _instruction(_LOAD, _NUMBER_AT),
        _instruction(_AT_LEAST, _OTHER_NUMBERS_FROM, 0, 1),
        _instruction(_RETURN, _FAIL),
        *assemble(column),
    ]
    buffer = ctypes.create_string_buffer(b"".join(code))
    program = _Program(len(code), ctypes.addressof(buffer))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return bool(library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)) == 0)


def _allow_listed(column: int) -> list[bytes]:
    code: list[bytes] = []
    for numbers in _ALLOWED.values():
        number = numbers[column]
        if number is not None:
            code += [_instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]
    for calls, argument in ((_ON_ITSELF, os.getpid()), (_ON_CALLER, 0)):
        for numbers_of_call in calls.values():
            code += [
                _instruction(_EQUAL, numbers_of_call[column], 0, 4),
                _instruction(_LOAD, _FIRST_ARGUMENT_AT),
                _instruction(_EQUAL, argument, 0, 1),
                _instruction(_RETURN, _ALLOW),
                _instruction(_RETURN, _FAIL),
            ]
    return [*code, _instruction(_RETURN, _FAIL)]


def _forbid_listed(column: int) -> list[bytes]:
    code: list[bytes] = []
    for numbers in _SOCKETS.values():
        code += [_instruction(_EQUAL, numbers[column], 0, 1), _instruction(_RETURN, _FAIL)]
    return [*code, _instruction(_RETURN, _ALLOW)]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One of classic BPF, as in linux/filter.h."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
