"""Which files an upload takes, and under which names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure

PART_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file to upload. `name` is its path relative to the folder that was given, with slashes."""

    path: Path
    name: str


def collect_files(paths: Sequence[Path]) -> list[UploadFile]:
    """Return the files themselves and all files below the folders, in the order of their names.

    In folders, hidden files and folders are left out, links to folders aren't followed. What is named
    twice is taken once. Raises `CliFailure` when there is none, or when two would get the same name.
    """
    files: dict[str, UploadFile] = {}
    for path in paths:
        for file in _walk(path):
            other = files.setdefault(file.name, file)
            if not other.path.samefile(file.path):
                raise CliFailure(
                    f"{other.path} and {file.path} would both be {file.name!r}, the second one as a new"
                    " version of the first",
                    ExitCode.USAGE,
                    advice="upload the folder that holds both, or pass --external-id-from none",
                )
    if not files:
        named = ", ".join(str(path) for path in paths)
        raise CliFailure(f"there is no file to upload in {named}", ExitCode.USAGE)
    return list(files.values())


def collect_unnamed_files(paths: Sequence[Path]) -> list[UploadFile]:
    """Return what `collect_files` does where names need not differ."""
    files = {file.path.resolve(): file for path in paths for file in _walk(path)}
    if not files:
        named = ", ".join(str(path) for path in paths)
        raise CliFailure(f"there is no file to upload in {named}", ExitCode.USAGE)
    return list(files.values())


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in parts. Raises `OSError`."""
    digest = hashlib.sha256()
    for part in read_parts(path):
        digest.update(part)
    return digest.hexdigest()


def read_parts(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the content from byte `start` on in parts of 256 KiB, one at a time in memory.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        file.seek(start)
        while part := file.read(PART_BYTES):
            yield part


def _walk(path: Path) -> Iterator[UploadFile]:
    if not path.is_dir():
        yield UploadFile(path, path.name)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            # No pipe, socket or dangling link: reading those blocks or fails.
            if not name.startswith(".") and file.is_file():
                yield UploadFile(file, file.relative_to(path).as_posix())
