"""Files that are small and unpack, expand or nest to what no machine has; and those that lead elsewhere."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping

from tests.hostile.sound import SOUND, WORDS, make_mail
from tests.support.book_files import make_epub, make_odf
from tests.support.files import make_zip, make_zip_bomb_docx
from tests.support.office_files import make_xlsx, replace_part

MEBIBYTE = 1024 * 1024
MAIN_PARTS = {
    "docx": "word/document.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "pptx": "ppt/slides/slide1.xml",
    "odt": "content.xml",
    "epub": "META-INF/container.xml",
}


def laughs(root: str = "a", depth: int = 10) -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, depth))
    text = f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY e0 "ha">{entities}]>'
    return f"{text}<{root}><p>&e{depth - 1};</p></{root}>".encode()


def swollen_entity() -> bytes:
    """One long entity many times: no nesting for a limit to see."""
    text = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "{"x" * 100_000}">]>'
    return f"{text}<a>{'&x;' * 50_000}</a>".encode()


def external(target: str) -> bytes:
    return (
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "{target}">]><a><p>&x;</p></a>'
    ).encode()


def cyclic_entities() -> bytes:
    return b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "&y;"><!ENTITY y "&x;">]><a>&x;</a>'


def nested_zips(depth: int) -> bytes:
    data = make_zip({"note.txt": WORDS.encode()})
    for number in range(depth):
        data = make_zip({f"{number}.zip": data, "note.txt": WORDS.encode()})
    return data


def zip_tree(depth: int, width: int) -> bytes:
    """Each archive holds one file many times: it grows by a power of the depth."""
    data = make_zip({"zeros.txt": b"0" * MEBIBYTE})
    for _ in range(depth):
        data = make_zip({f"{number}.zip": data for number in range(width)})
    return data


def overlapping_zip() -> bytes:
    """All entries of the directory point to the same member."""
    source = make_zip({"a.txt": b"0" * (4 * MEBIBYTE)})
    start = source.index(b"PK\x01\x02")
    end = source.index(b"PK\x05\x06")
    entry = source[start:end]
    entries = b"".join(
        entry[:28] + entry[28:46] + f"{number:05d}"[-5:].encode() + entry[51:]
        for number in range(5000)
    )
    tail = bytearray(source[end:])
    tail[8:12] = (5000).to_bytes(2, "little") * 2
    tail[12:16] = len(entries).to_bytes(4, "little")
    return source[:start] + entries + bytes(tail)


def lying_zip() -> bytes:
    """The directory says that little is inside."""
    data = bytearray(make_zip({"a.txt": b"0" * (64 * MEBIBYTE)}))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + at
        data[place : place + 4] = (1000).to_bytes(4, "little")
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(make_zip({"a.txt": WORDS.encode()}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + at] |= 1
    return bytes(data)


def crowded_zip(count: int) -> bytes:
    return make_zip({f"{number}.txt": b"" for number in range(count)})


def strange_paths() -> bytes:
    names = ["../../../etc/passwd", "/etc/shadow", "C:\\boot.ini", "a/../../b.txt", "x" * 9000]
    data = make_zip({name: WORDS.encode() for name in [*names, "nul?.txt"]})
    return data.replace(b"nul?.txt", b"nul\0.txt")


def linked_zip() -> bytes:
    """A symbolic link as a member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("secret.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


def _with_main_part(extension: str, part: bytes) -> bytes:
    return replace_part(SOUND[extension](), MAIN_PARTS[extension], lambda _: part)


def deep_xml(depth: int) -> bytes:
    return b"<?xml version='1.0'?>" + b"<a>" * depth + b"words" + b"</a>" * depth


def deep_mail(depth: int) -> bytes:
    head = b"From: a@b.c\nTo: a@b.c\nMessage-ID: <1@b.c>\nMIME-Version: 1.0\n"
    parts = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (number, number)
        for number in range(depth)
    )
    return head + parts + b"Content-Type: text/plain\n\nwords\n"


def mails_in_mails(depth: int) -> bytes:
    message = make_mail()
    for _ in range(depth):
        outer = make_mail()
        outer.add_attachment(message)
        message = outer
    return message.as_bytes()


def huge_sheet() -> bytes:
    """A sheet that says it has every row and column there is, and a cell in its last corner."""
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b'<dimension ref="A1:XFD1048576"/><sheetData><row r="1048576">'
        b'<c r="XFD1048576" t="inlineStr"><is><t>corner</t></is></c></row></sheetData></worksheet>'
    )
    return replace_part(make_xlsx({"Sheet": [["a"]]}), MAIN_PARTS["xlsx"], lambda _: sheet)


def repeated_cells() -> bytes:
    """OpenDocument says `this cell, so many times`."""
    cell = '<table:table-cell table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'
    return make_odf("text", f"<table:table>{row}</table:table><text:p>{WORDS}</text:p>")


def repeated_spaces() -> bytes:
    return make_odf("text", '<text:p>a<text:s text:c="2000000000"/>b</text:p>')


BOMBS: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "laughs": ("xml", laughs),
    "swollen entity": ("xml", swollen_entity),
    "cyclic entities": ("xml", cyclic_entities),
    "entity to a file": ("xml", lambda: external("file:///etc/passwd")),
    "entity to a device": ("xml", lambda: external("file:///dev/zero")),
    "entity to a server": ("xml", lambda: external("http://127.0.0.1:1/x")),
    "deep XML": ("xml", lambda: deep_xml(200_000)),
    "attributes": (
        "xml",
        lambda: b"<?xml version='1.0'?><a %s/>" % b" ".join(b"a%d='1'" % n for n in range(200_000)),
    ),
    "laughs in SVG": ("svg", lambda: laughs("svg")),
    **{
        f"laughs in {each}": (each, lambda e=each: _with_main_part(e, laughs()))
        for each in MAIN_PARTS
    },
    **{
        f"entity to a file in {each}": (
            each,
            lambda e=each: _with_main_part(e, external("file:///etc/passwd")),
        )
        for each in MAIN_PARTS
    },
    **{
        f"deep XML in {each}": (each, lambda e=each: _with_main_part(e, deep_xml(50_000)))
        for each in MAIN_PARTS
    },
    **{
        f"empty main part of {each}": (each, lambda e=each: _with_main_part(e, b""))
        for each in MAIN_PARTS
    },
    **{
        f"swollen {each}": (each, lambda e=each: _with_main_part(e, b" " * (200 * MEBIBYTE)))
        for each in ("xlsx", "odt", "epub")
    },
    "bomb in DOCX": ("docx", make_zip_bomb_docx),
    "archives in archives": ("zip", lambda: nested_zips(30)),
    "tree of archives": ("zip", lambda: zip_tree(3, 12)),
    "overlapping members": ("zip", overlapping_zip),
    "lying archive": ("zip", lying_zip),
    "zeros": ("zip", lambda: make_zip({"a.txt": bytes(256 * MEBIBYTE)})),
    "encrypted archive": ("zip", encrypted_zip),
    "60,000 members": ("zip", lambda: crowded_zip(60_000)),
    "3,000 members": ("zip", lambda: make_zip({f"{n}.txt": b"words" for n in range(3000)})),
    "strange paths": ("zip", strange_paths),
    "a link": ("zip", linked_zip),
    "bombs inside": ("zip", lambda: make_zip({"a.docx": make_zip_bomb_docx(), "b.txt": b"words"})),
    "laughs inside": (
        "zip",
        lambda: make_zip({"a.xml": laughs(), "b.xml": external("/etc/passwd")}),
    ),
    "huge sheet": ("xlsx", huge_sheet),
    "repeated cells": ("odt", repeated_cells),
    "repeated spaces": ("odt", repeated_spaces),
    "chapters that are missing": (
        "epub",
        lambda: make_epub({"../../etc/passwd": WORDS, "a.xhtml": WORDS}),
    ),
    "deep JSON": ("json", lambda: b"[" * 2_000_000),
    "deep JSON that ends": ("json", lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "long numbers": ("json", lambda: b"[" + b"9" * 2_000_000 + b"]"),
    "one key a million times": ("json", lambda: b"{" + b'"a":1,' * 1_000_000 + b'"a":2}'),
    "deep lists": ("json", lambda: json.dumps({"a": [[[[["x"]]]]] * 9000}).encode()),
    "deep mail": ("eml", lambda: deep_mail(3000)),
    "mails in mails": ("eml", lambda: mails_in_mails(25)),
    "long mail head": (
        "eml",
        lambda: b"From: a@b.c\nMIME-Version: 1.0\nTo: " + b"a@b.c, " * 500_000 + b"\n\nx",
    ),
    "encoded words": (
        "eml",
        lambda: (
            b"From: a\nMIME-Version: 1.0\nTo: b\nSubject: " + b"=?utf-8?q?x?= " * 60_000 + b"\n\nx"
        ),
    ),
    "mail of parts": (
        "eml",
        lambda: (
            b"From: a\nTo: b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
            + b"--b\n\nx\n" * 200_000
        ),
    ),
}
"""By name: the file's extension, and how it is made."""
