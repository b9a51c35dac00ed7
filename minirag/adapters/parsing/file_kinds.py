"""Names for files that can't be read, so that a refusal can say what the bytes are."""

from __future__ import annotations

import io
import zipfile

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a bitmap image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"\xca\xfe\xba\xbe", "a Java class or a Mach-O program"),
    (b"\0asm", "a WebAssembly module"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"PAR1", "a Parquet file"),
    (b"wOF", "a web font"),
)
# A two-byte signature is also the start of an English word.
_BINARY_ONLY = (b"BM", b"MZ", b"BZh", b"ID3", b"PAR1", b"GIF8", b"Rar!", b"wOF", b"OggS", b"fLaC")
_ZIP_PARTS = (
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("content.xml", "an OpenDocument file of another kind"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
NEWER_FORMS = {
    "a legacy Word document (.doc)": "DOCX",
    "a legacy Excel workbook (.xls)": "XLSX",
    "a legacy PowerPoint presentation (.ppt)": "PPTX",
}
"""What the same program saves, and a parser reads."""
_OLE_STREAMS = (
    ("WordDocument", "a legacy Word document (.doc)"),
    ("Workbook", "a legacy Excel workbook (.xls)"),
    ("PowerPoint Document", "a legacy PowerPoint presentation (.ppt)"),
)


def name_kind(data: bytes, *, is_text: bool) -> str:
    """Return what `data` is, with its article (`a PNG image`); empty when nothing is known of it."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature) and not (is_text and signature in _BINARY_ONLY):
            return name
    if data[:4] == b"RIFF":
        return {b"WEBP": "a WebP image", b"WAVE": "a WAV recording"}.get(data[8:12], "an AVI video")
    if data[4:8] == b"ftyp":
        return "an image in HEIF" if data[8:12] in (b"heic", b"mif1", b"avif") else "an MP4 video"
    if data.startswith(_OLE):
        return _name_ole(data)
    if data[257:262] == b"ustar":
        return "a tar archive"
    return _name_zip(data) if data[:4] in (b"PK\x03\x04", b"PK\x05\x06") else ""


def is_ole_with(data: bytes, stream: str) -> bool:
    """Tell whether `data` is an OLE container with a stream of this name."""
    return data.startswith(_OLE) and stream.encode("utf-16-le") in data


def _name_ole(data: bytes) -> str:
    for stream, name in _OLE_STREAMS:
        if is_ole_with(data, stream):
            return name
    return "a legacy Office file"


def _name_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return ""  # damaged, which who reads it says better
    return next((name for part, name in _ZIP_PARTS if part in names), "")
