"""Documents for tests, made by the libraries that write such files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from fpdf import FPDF
from fpdf.enums import AccessPermission

OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(64))


def make_pdf(
    pages: Sequence[str],
    *,
    title: str = "",
    password: str | None = None,
    outline: Sequence[tuple[int, str]] = (),
) -> bytes:
    """Return a PDF with one page for each text (Latin-1; `""` draws a line only).

    `outline` adds bookmarks, page index and title; a `password` encrypts it.
    """
    pdf = FPDF()
    pdf.set_title(title)
    pdf.set_font("Helvetica", size=12)
    for index, text in enumerate(pages):
        pdf.add_page()
        for page, name in outline:
            if page == index:
                pdf.start_section(name)
        if text:
            pdf.multi_cell(0, 6, text)
        else:
            pdf.line(10, 10, 100, 100)
    if password is not None:
        pdf.set_encryption(
            owner_password=f"owner of {password}",
            user_password=password,
            permissions=AccessPermission.none(),
        )
    return bytes(pdf.output())


def make_docx(
    paragraphs: Sequence[str | tuple[int, str] | list[list[str]]], title: str = ""
) -> bytes:
    """Return a DOCX of paragraphs: a text, (level, heading), or a table as rows of cells."""
    document = Document()
    document.core_properties.title = title
    for each in paragraphs:
        if isinstance(each, str):
            document.add_paragraph(each)
        elif isinstance(each, tuple):
            document.add_heading(each[1], level=each[0])
        else:
            table = document.add_table(rows=0, cols=len(each[0]))
            for row in each:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def make_docx_of_xml(body: str) -> bytes:
    """Return a DOCX whose body is this WordprocessingML, its elements with the prefix `w`."""
    document = Document()
    for element in parse_xml(f"<w:body {nsdecls('w')}>{body}</w:body>"):
        document.element.body.append(element)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def make_encrypted_docx() -> bytes:
    """Return what Word's encryption makes of a DOCX, as far as its container shows it."""
    names = ("EncryptedPackage", "EncryptionInfo")
    return (
        OLE_SIGNATURE
        + bytes(504)
        + b"".join(n.encode("utf-16-le").ljust(128, b"\0") for n in names)
    )


def make_zip_bomb_docx(unpacked_bytes: int = 300 * 1024 * 1024) -> bytes:
    """Return a valid small DOCX whose main part unpacks to `unpacked_bytes` of spaces."""
    source = zipfile.ZipFile(io.BytesIO(make_docx(["harmless"])))
    file = io.BytesIO()
    with source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb:
        for name in source.namelist():
            data = source.read(name)
            with bomb.open(name, "w") as member:
                member.write(data)
                if name == "word/document.xml":
                    for _ in range(unpacked_bytes // (1024 * 1024)):
                        member.write(b" " * (1024 * 1024))
    return file.getvalue()


def make_zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()
