"""ZIP archives: the text of each document inside, under a heading with its path.

Paths are words here and nothing else: nothing is unpacked to a file. Archives in archives are read as far as
`content.MOST_DEPTH`. Pages of members are headings as well, as each member counts its own.
"""

from __future__ import annotations

import posixpath
import zipfile

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.file_kinds import name_kind
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.members import Members
from minirag.adapters.parsing.packages import DAMAGED_MEMBER, open_archive
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/zip"
MOST_ENTRIES = 10_000
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""Of an archive, and of one without members."""

# What systems add to archives of their own accord.
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_DAMAGED = ParseFailure(FailureCode.CORRUPT, "it is damaged: put it into a new archive")
_ENCRYPTED = ParseFailure(FailureCode.ENCRYPTED, "it needs a password: add it without one")


def recognise(content: Content) -> Evidence:
    """Any ZIP archive but those of other formats; the ones that can be read come first."""
    is_archive = content.data.startswith(SIGNATURES) and not name_kind(content.data, is_text=False)
    return Evidence.CERTAIN if is_archive else Evidence.NONE


def parse(content: Content) -> ParsedText:
    text = TextBuilder(content.max_text_bytes)
    members = Members(content, text, level=1)
    with open_archive(content.data, "ZIP", allow_encrypted=True) as archive:
        entries = [each for each in archive.infolist() if not _is_litter(each)]
        if len(entries) > MOST_ENTRIES:
            raise ParseFailure(
                FailureCode.TOO_LARGE,
                f"the ZIP archive holds {len(entries):,} files, and {MOST_ENTRIES:,} are allowed: "
                "split it",
            )
        for entry in entries:
            data = _read(archive, entry)
            if isinstance(data, ParseFailure):
                members.leave_out(entry.filename, data)
            else:
                members.add(entry.filename, data)
    if not members.read_count:
        raise _nothing_readable(len(entries), members)
    members.add_list_of_unread()
    return text.build(MEDIA_TYPE)


def _is_litter(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename
    return entry.is_dir() or name.startswith(_LITTER) or posixpath.basename(name) in _LITTER


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | ParseFailure:
    """`zipfile` reads no more than the size that the archive's directory tells of a member."""
    if entry.flag_bits & 1:
        return _ENCRYPTED
    try:
        return archive.read(entry)
    except DAMAGED_MEMBER:
        return _DAMAGED


def _nothing_readable(count: int, members: Members) -> ParseFailure:
    failure = members.first_failure
    if failure is None:
        return ParseFailure(FailureCode.NO_TEXT, "the ZIP archive is empty: check its content")
    return ParseFailure(
        failure.code,
        f"none of the {count:,} files in the ZIP archive can be read, the first because "
        f"{failure.message}",
    )


FORMAT = Format(MEDIA_TYPE, "ZIP", (".zip",), recognise, parse)
