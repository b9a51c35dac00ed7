"""What a folder holds for `minirag sync`, and what of it can't be taken, with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.upload_files import UploadFile, hash_file


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was looked at."""

    file: UploadFile
    sha256: str


@dataclass(slots=True)
class FolderContent:
    """`skipped` is the reason by name; a name that ends in a slash stands for all below it."""

    files: dict[str, LocalFile] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def may_hold(self, name: str) -> bool:
        """True for a file that is there, or may be there for all that could be seen."""
        return (
            name in self.files
            or name in self.skipped
            or any(name.startswith(known) for known in self.skipped if known.endswith("/"))
        )


def read_folder(folder: Path) -> FolderContent:
    """Hash all files below the folder; names are relative to it, with slashes.

    Hidden files and folders are left out. Whatever can't be taken is told in `skipped`, and stops nothing,
    save the folder itself: raises `CliFailure`.
    """
    content = FolderContent()
    root = folder.resolve()
    for entry, name in _walk(folder, "", content.skipped):
        reason = _why_not(entry, root)
        if not reason:
            file = UploadFile(Path(entry.path), name)
            try:
                if not os.path.getsize(entry.path):
                    reason = "is empty"
                else:
                    content.files[name] = LocalFile(file, hash_file(file.path))
            except OSError as error:
                reason = f"can't be read: {error.strerror or error}"
        if reason:
            content.skipped[name] = reason
    return content


def _walk(
    folder: Path, prefix: str, skipped: dict[str, str]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"can't be read: {error.strerror or error}"
        if not prefix:
            raise CliFailure(f"{folder} {reason}", ExitCode.USAGE) from None
        skipped[prefix] = reason
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = prefix + entry.name
        if not _is_utf8(entry.name):
            skipped[_readable(name) + ("/" if _is_folder(entry) else "")] = "its name isn't UTF-8"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), name + "/", skipped)
        elif _is_folder(entry):
            skipped[name + "/"] = "is a link to a folder, which isn't followed"
        else:
            yield entry, name


def _why_not(entry: os.DirEntry[str], root: Path) -> str:
    """Why a file isn't taken; empty when it may be."""
    path = Path(entry.path)
    try:
        if entry.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
            return "is a link that leads out of the folder"
        if not path.is_file():
            return "is no regular file"
    except (OSError, RuntimeError) as error:  # a link to nothing, or one that leads to itself
        return f"can't be read: {getattr(error, 'strerror', None) or error}"
    return ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
