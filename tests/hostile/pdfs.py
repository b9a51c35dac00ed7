"""PDFs with references in circles, absurd numbers, broken fonts and streams that swell."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

from tests.hostile.sound import WORDS
from tests.support.files import make_pdf

PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
SHOWN = b"BT /F 12 Tf 50 700 Td (The bridge is closed) Tj ET"


def make_raw_pdf(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the catalogue."""
    data = b"%PDF-1.7\n"
    offsets = []
    for number, each in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    data += b"trailer<</Size %d/Root 1 0 R%s>>\n" % (len(objects) + 1, trailer)
    return data + b"startxref\n%d\n%%%%EOF" % start


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), entries, content)


def one_page(
    *, page: bytes = PAGE, shown: bytes = SHOWN, font: bytes = FONT, more: Sequence[bytes] = ()
) -> bytes:
    catalogue, pages = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    return make_raw_pdf([catalogue, pages, page, stream(shown), font, *more])


def packed(size: int, times: int = 1) -> bytes:
    """A page whose content unpacks to `size` bytes, packed again so many times."""
    data = SHOWN + b" " * size
    for _ in range(times):
        data = zlib.compress(data, 9)
    filters = b"/Filter[%s]" % (b"/FlateDecode " * times)
    return make_raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            PAGE,
            stream(data, filters),
            FONT,
        ]
    )


def circular_pages() -> bytes:
    return make_raw_pdf(
        [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"]
    )


def circular_outline() -> bytes:
    return make_raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R/Outlines 6 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            PAGE,
            stream(SHOWN),
            FONT,
            b"<</First 7 0 R/Last 7 0 R/Count 1>>",
            b"<</Title(a)/Parent 6 0 R/Next 7 0 R/First 7 0 R/Dest[3 0 R/Fit]>>",
        ]
    )


def circular_form() -> bytes:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>"
    page = PAGE.replace(b"/Font", b"/XObject<</X 6 0 R>>/Font")
    return one_page(page=page, shown=b"/X Do " + SHOWN, more=[stream(b"/X Do /X Do", form)])


def many_pages(count: int) -> bytes:
    kids = b"3 0 R " * count
    return make_raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
            PAGE,
            stream(SHOWN),
            FONT,
        ]
    )


def deep_pages(depth: int) -> bytes:
    tree = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (number + 3) for number in range(depth)]
    return make_raw_pdf([b"<</Type/Catalog/Pages 2 0 R>>", *tree, PAGE])


def _font(entries: bytes) -> bytes:
    return b"<</Type/Font/Subtype/TrueType/BaseFont/X%s>>" % entries


def broken_font_file() -> bytes:
    described = b"/FirstChar 0/LastChar 255/Widths[0]/FontDescriptor 6 0 R"
    descriptor = b"<</Type/FontDescriptor/FontName/X/Flags 4/FontFile2 7 0 R>>"
    return one_page(font=_font(described), more=[descriptor, stream(b"\0\1\0\0" + b"\xff" * 5000)])


def broken_character_map() -> bytes:
    ranges = (
        b"1 begincodespacerange<00><ff>endcodespacerange "
        + b"100 beginbfrange"
        + (b"<00><ffffffff><0000>" * 5000)
    )
    return one_page(font=_font(b"/ToUnicode 6 0 R"), more=[stream(ranges)])


def circular_font() -> bytes:
    return one_page(
        font=b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding 5 0 R/DescendantFonts[5 0 R]>>"
    )


def type3_font() -> bytes:
    """Glyphs that draw themselves."""
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[1 0 0 1 0 0]/FirstChar 84/LastChar 84"
        b"/Widths[9]/Encoding<</Differences[84/T]>>/CharProcs<</T 4 0 R>>/Resources<</Font<</F 5 0 R>>>>>>"
    )
    return one_page(font=font)


PDFS: Mapping[str, Callable[[], bytes]] = {
    "pages in a circle": circular_pages,
    "outline in a circle": circular_outline,
    "form in a circle": circular_form,
    "20,000 pages that are one": lambda: many_pages(20_000),
    "deep page tree": lambda: deep_pages(20_000),
    "a million pages by its word": lambda: many_pages(1).replace(b"/Count 1", b"/Count 1000000"),
    "endless page": lambda: one_page(page=PAGE.replace(b"600 800", b"1e30 1e30")),
    "page of no size": lambda: one_page(page=PAGE.replace(b"600 800", b"0 0")),
    "backward page": lambda: one_page(page=PAGE.replace(b"0 0 600 800", b"9 9 -9 -9")),
    "swelling stream": lambda: packed(300 * 1024 * 1024),
    "stream packed three times": lambda: packed(300 * 1024 * 1024, 3),
    "font that is garbage": broken_font_file,
    "absurd character map": broken_character_map,
    "font in a circle": circular_font,
    "glyphs that draw themselves": type3_font,
    "font of another kind": lambda: one_page(font=b"<</Type/Page>>"),
    "no font": lambda: one_page(font=b"null"),
    "unending string": lambda: one_page(shown=b"BT /F 12 Tf (" + b"(" * 500_000),
    "deep operators": lambda: one_page(shown=b"q " * 1_000_000 + SHOWN),
    "deep arrays": lambda: one_page(page=PAGE + b"[" * 100_000),
    "half a million words": lambda: one_page(shown=(SHOWN + b"\n") * 40_000),
    "password": lambda: make_pdf([WORDS], password="x"),
    "unknown encryption": lambda: make_raw_pdf(
        [b"<</Type/Catalog/Pages 2 0 R>>"], b"/Encrypt<</Filter/X/V 99>>"
    ),
    "table of references in a circle": lambda: one_page().replace(
        b"trailer<<", b"trailer<</Prev 9 /XRefStm 9"
    ),
    "start beyond the end": lambda: one_page().replace(b"startxref\n", b"startxref\n99999999999"),
    "script and file to run": lambda: make_raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/Launch/F(/bin/sh)>>"
            b"/AA<</O<</S/JavaScript/JS(while(1);)>>>>>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            PAGE,
            stream(SHOWN),
            FONT,
        ]
    ),
}
