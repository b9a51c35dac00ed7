"""OpenDocument and EPUB packages for tests, put together from their XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "presentation": "presentation",
        "style": "style",
        "manifest": "manifest",
    }.items()
)


def make_odf(
    kind: str, body: str, *, styles: str = "", title: str = "", is_encrypted: bool = False
) -> bytes:
    """Return an OpenDocument package of a kind (`text`, `spreadsheet`, `presentation`) with this body."""
    content = (
        f"<office:document-content {_NAMESPACES}>"
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>"
    )
    meta = (
        f'<office:document-meta {_NAMESPACES} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<office:meta><dc:title>{title}</dc:title></office:meta></office:document-meta>"
    )
    encryption = "<manifest:encryption-data/>" if is_encrypted else ""
    manifest = (
        f"<manifest:manifest {_NAMESPACES}>"
        f'<manifest:file-entry manifest:full-path="content.xml">{encryption}</manifest:file-entry>'
        "</manifest:manifest>"
    )
    return make_package(
        f"application/vnd.oasis.opendocument.{kind}",
        {"content.xml": content, "meta.xml": meta, "META-INF/manifest.xml": manifest},
    )


def make_epub(
    chapters: Mapping[str, str], *, title: str = "", extra: Mapping[str, str] | None = None
) -> bytes:
    """Return an EPUB whose chapters are these bodies, in this order; one named `nav…` is its contents.

    A chapter that starts with `<` and `html`, or `<?xml`, is the whole file.
    """
    items, order, files = [], [], {}
    for number, (name, body) in enumerate(chapters.items()):
        properties = ' properties="nav"' if name.startswith("nav") else ""
        items.append(
            f'<item id="i{number}" href="{name}" media-type="application/xhtml+xml"{properties}/>'
        )
        order.append(f'<itemref idref="i{number}"/>')
        is_whole = body.startswith(("<html", "<?xml", "<!DOCTYPE"))
        files[f"OEBPS/{name}"] = (
            body
            if is_whole
            else f'<?xml version="1.0" encoding="utf-8"?>'
            f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>'
        )
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{''.join(items)}</manifest><spine>{''.join(order)}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>'
        "</rootfiles></container>"
    )
    return make_package(
        "application/epub+zip",
        {"META-INF/container.xml": container, "OEBPS/book.opf": book, **files, **(extra or {})},
    )


def make_package(media_type: str, members: Mapping[str, str]) -> bytes:
    """Return a ZIP archive that begins by saying its media type."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", media_type, compress_type=zipfile.ZIP_STORED)
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()
