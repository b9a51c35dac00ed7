"""Formats whose parsers misbehave as a broken or captured one would.

The fork server loads this module when a test names it; a document that starts with `%HOSTILE` says what its
parser does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.domain.chunks import HeadingMark, PageSpan, ParsedText

MEDIA_TYPE = "application/x-hostile"
SIGNATURE = b"%HOSTILE "


def _spin(_: str) -> str:
    while True:
        pass


def _sleep(_: str) -> str:
    time.sleep(3600)
    return ""


def _crash(_: str) -> str:
    ctypes.string_at(0)
    return ""


def _raise(_: str) -> str:
    raise KeyError("secret detail of the document")


def _eat_memory(_: str) -> str:
    return str(len([bytes(1024 * 1024) for _ in range(1_000_000)]))


def _leave(_: str) -> str:
    os._exit(0)


def _kill_server(_: str) -> str:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)
    return ""


def _fork(_: str) -> str:
    return str(os.fork())


def _leave_child_behind(_: str) -> str:
    if os.fork() == 0:
        time.sleep(3600)
    return "parsed"


def _write_file(path: str) -> str:
    try:
        Path(path).write_text("written by a parser", encoding="utf-8")
    except OSError as error:
        return f"refused: {error.strerror}"
    return "written"


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return f"refused: {error.strerror}"


def _touch_files(directory: str) -> str:
    """Everything that changes a file without writing to it; returns what was not refused."""
    there, elsewhere = Path(directory) / "there", Path(directory) / "elsewhere"
    deeds: dict[str, Callable[[], object]] = {
        "remove": there.unlink,
        "rename": lambda: there.rename(elsewhere),
        "link": lambda: elsewhere.hardlink_to(there),
        "symlink": lambda: elsewhere.symlink_to(there),
        "truncate": lambda: os.truncate(there, 0),
        "chmod": lambda: there.chmod(0),
        "mkdir": elsewhere.mkdir,
    }
    return "refused but for: " + ", ".join(name for name, deed in deeds.items() if _works(deed))


def _works(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except OSError:
        return False
    return True


def _signal_server(_: str) -> str:
    return "sent" if _works(lambda: os.kill(os.getppid(), signal.SIGKILL)) else "refused"


def _list_descriptors(_: str) -> str:
    return " ".join(str(number) for number in range(256) if _is_open(number))


def _is_open(descriptor: int) -> bool:
    return _works(lambda: os.fstat(descriptor))


def _execute(_: str) -> str:
    return "executed" if _works(lambda: os.execv("/bin/true", ["true"])) else "refused"


def _read_environment(_: str) -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items()))


def _connect(port: str) -> str:
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
    except OSError as error:
        return f"refused: {error.strerror}"
    return "connected"


def _long(length: str) -> str:
    return "x" * int(length)


_DEEDS: dict[str, Callable[[str], str]] = {
    "spin": _spin,
    "sleep": _sleep,
    "crash": _crash,
    "raise": _raise,
    "eat-memory": _eat_memory,
    "leave": _leave,
    "kill-server": _kill_server,
    "fork": _fork,
    "leave-child": _leave_child_behind,
    "write-file": _write_file,
    "read-environment": _read_environment,
    "connect": _connect,
    "read-file": _read_file,
    "touch-files": _touch_files,
    "signal-server": _signal_server,
    "list-descriptors": _list_descriptors,
    "execute": _execute,
    "long": _long,
}


def hostile(deed: str, argument: str = "") -> bytes:
    """A document whose parser does `deed`."""
    return SIGNATURE + f"{deed} {argument}".encode()


def _parse(content: Content) -> ParsedText:
    deed, _, argument = content.data.removeprefix(SIGNATURE).decode().partition(" ")
    if deed == "lie":
        lies = {
            "page": ParsedText("text", MEDIA_TYPE, pages=(PageSpan(1, 0, 99),)),
            "heading": ParsedText("text", MEDIA_TYPE, headings=(HeadingMark(1, "t", -3),)),
            "nul": ParsedText("te\0xt", MEDIA_TYPE),
            "page number": ParsedText("text", MEDIA_TYPE, pages=(PageSpan(10**12, 0, 4),)),
            "endless title": ParsedText(
                "text", MEDIA_TYPE, headings=(HeadingMark(1, "t" * 10_000_000, 0),)
            ),
            "level": ParsedText("text", MEDIA_TYPE, headings=(HeadingMark(0, "t", 0),)),
        }
        return lies[argument]
    return ParsedText(_DEEDS[deed](argument), MEDIA_TYPE)


def _recognise(content: Content) -> Evidence:
    return Evidence.CERTAIN if content.data.startswith(SIGNATURE) else Evidence.NONE


FORMATS = (Format(MEDIA_TYPE, "hostile", (".hostile",), _recognise, _parse),)
