"""Documents that are ZIP archives of XML parts: opened with limits, read without entities.

`Package` refuses by the archive's directory, before anything is unpacked; `zipfile` holds each member to what
the directory says of it. XML parsers here fetch nothing, expand no entity, and keep libxml2's own limits.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MOST_UNPACKED_BYTES = 512 * 1024 * 1024
MOST_TREE_BYTES = 128 * 1024 * 1024
"""Of the XML parts that are held in memory as trees; others are read as streams."""
MOST_RATIO = 200
"""XML packs to a tenth or a fiftieth; deflate's limit, which bombs reach, is a thousandth."""
RATIO_MATTERS_FROM_BYTES = 16 * 1024 * 1024

DAMAGED_MEMBER = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # of members that are encrypted on their own
    NotImplementedError,
    ValueError,
)


def open_archive(data: bytes, kind: str, *, allow_encrypted: bool = False) -> zipfile.ZipFile:
    """Open the archive that a document of `kind` (`DOCX`, say) is.

    Raises `ParseFailure`: CORRUPT without a directory, ENCRYPTED, TOO_LARGE when unpacked.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise ParseFailure(
            FailureCode.CORRUPT,
            f"the file is cut off or damaged (its format, {kind}, is a ZIP archive, and the archive's "
            "directory is missing): upload the complete file again",
        ) from None
    members = archive.infolist()
    if not allow_encrypted and any(member.flag_bits & 1 for member in members):
        raise needs_password(kind)
    total = sum(member.file_size for member in members)
    is_bomb = total > RATIO_MATTERS_FROM_BYTES and total > MOST_RATIO * len(data)
    if total > MOST_UNPACKED_BYTES or is_bomb:
        raise unpacks_to_too_much(kind, total, len(data))
    return archive


def needs_password(kind: str) -> ParseFailure:
    return ParseFailure(
        FailureCode.ENCRYPTED,
        f"the {kind} is encrypted: save it without a password and upload that",
    )


def unpacks_to_too_much(kind: str, total: int, size: int) -> ParseFailure:
    return ParseFailure(
        FailureCode.TOO_LARGE,
        f"the {kind} would unpack to {total:,} bytes, {total // size:,} times its size, which is "
        "refused: split the document, or save it anew",
    )


class Package:
    """The parts of one document, by their names in the archive."""

    def __init__(self, data: bytes, kind: str) -> None:
        self.kind = kind
        self._size = len(data)
        self._archive = open_archive(data, kind)
        self._names = frozenset(self._archive.namelist())
        self._tree_bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def damaged(self) -> ParseFailure:
        return ParseFailure(
            FailureCode.CORRUPT,
            f"the {self.kind} is damaged and can't be read: open it, save it anew and upload that",
        )

    def read(self, name: str) -> bytes:
        """Return a part's bytes. Raises `ParseFailure` when it is missing, damaged or, with those read
        before it, too large."""
        try:
            self._tree_bytes += self._archive.getinfo(name).file_size
            if self._tree_bytes > MOST_TREE_BYTES:
                raise unpacks_to_too_much(self.kind, self._tree_bytes, self._size)
            return self._archive.read(name)
        except (KeyError, *DAMAGED_MEMBER):
            raise self.damaged from None

    def tree(self, name: str) -> Any:
        """Return the root element of an XML part. Raises as `read` does."""
        return self._parsed(self.read(name))

    def tree_if_any(self, name: str) -> Any:
        """Return the root element of a part that says something of the document, None without it."""
        return self.tree(name) if name in self else None

    def elements(self, name: str, *tags: str) -> Iterator[tuple[str, Any]]:
        """Yield start and end of the elements with these tags, as they are read from a part of any size.

        Whoever asks clears what it is done with (`forget`).
        """
        try:
            with self._archive.open(name) as part:
                events = etree.iterparse(
                    part, events=("start", "end"), tag=tags, **_parser_settings()
                )
                for number, (event, element) in enumerate(events):
                    if number == 0:
                        self._refuse_entities(element)
                    yield event, element
        except etree.XMLSyntaxError as error:
            raise self._syntax_failure(error) from None
        except (KeyError, *DAMAGED_MEMBER):
            raise self.damaged from None

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Return type (its last word) and target part of an Office part's relations, by their ids."""
        folder, file_name = posixpath.split(name)
        root = self.tree_if_any(f"{folder}/_rels/{file_name}.rels")
        found: dict[str, tuple[str, str]] = {}
        if root is None:
            return found
        for each in root.iterfind("{*}Relationship"):
            if each.get("TargetMode") != "External":
                kind = each.get("Type", "").rpartition("/")[2]
                target = resolve(folder, each.get("Target", ""))
                found[each.get("Id", "")] = (kind, target)
        return found

    def title(self, name: str) -> str:
        """Return the title in a part with Dublin Core metadata; empty when there is none."""
        root = self.tree_if_any(name)
        return "" if root is None else root.findtext(f".//{{{DUBLIN_CORE}}}title") or ""

    def _parsed(self, data: bytes) -> Any:
        try:
            root = etree.fromstring(data, etree.XMLParser(**_parser_settings()))
        except etree.XMLSyntaxError as error:
            raise self._syntax_failure(error) from None
        except ValueError:
            raise self.damaged from None
        self._refuse_entities(root)
        return root

    def _refuse_entities(self, element: Any) -> None:
        """No program that writes such documents declares any: they are there to do harm."""
        declarations = element.getroottree().docinfo.internalDTD
        if declarations is not None and any(True for _ in declarations.iterentities()):
            raise ParseFailure(
                FailureCode.CORRUPT,
                f"the {self.kind} declares XML entities, which are refused: open it, save it anew and "
                "upload that",
            )

    def _syntax_failure(self, error: Any) -> ParseFailure:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None
        return self.damaged


DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"


def _parser_settings() -> dict[str, bool]:
    return {
        "resolve_entities": False,
        "no_network": True,
        "load_dtd": False,
        "remove_comments": True,
        "remove_pis": True,
    }


def resolve(folder: str, target: str) -> str:
    """Return the archive's name of what a part in `folder` calls `target`; a fragment is left out."""
    path = unquote(target.partition("#")[0])
    joined = path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path)
    return posixpath.normpath(joined)


def forget(element: Any) -> None:
    """Free an element that was read, and its elder siblings."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
