"""XLSX: each visible sheet as a page, its name as a heading, its rows as records.

Formulas give the value that was last calculated. Hidden sheets, comments and charts are left out. Rows are
read as a stream: a sheet's tree would take a hundred times its file's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.excel_values import NumberFormats
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.packages import Package, forget
from minirag.adapters.parsing.records import add_sheet
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAIN_PART = "xl/workbook.xml"
MOST_COLUMNS = 16_384

_TRUE = ("1", "true")


def recognise(content: Content) -> Evidence:
    is_excel = content.is_package_with(MAIN_PART, b"xl/")
    return Evidence.CERTAIN if is_excel else Evidence.NONE


def parse(content: Content) -> ParsedText:
    package = Package(content.data, "XLSX")
    workbook = package.tree(MAIN_PART)
    relations = package.relations(MAIN_PART)
    by_kind = dict(relations.values())
    properties = workbook.find("{*}workbookPr")
    is_1904 = properties is not None and properties.get("date1904") in _TRUE
    styles = package.tree_if_any(by_kind.get("styles", ""))
    reader = _SheetReader(
        package,
        _shared_strings(package, by_kind.get("sharedStrings", "")),
        NumberFormats(styles, from_1904=is_1904),
    )
    text = TextBuilder(content.max_text_bytes)
    for number, sheet in enumerate(workbook.iterfind("{*}sheets/{*}sheet"), start=1):
        kind, part = relations.get(_relation_id(sheet), ("", ""))
        if kind != "worksheet" or sheet.get("state", "visible") != "visible":
            continue
        with text.page(number):
            add_sheet(text, sheet.get("name", ""), reader.rows(part))
    return text.build(MEDIA_TYPE, package.title("docProps/core.xml"))


def _relation_id(sheet: Any) -> str:
    """The attribute `r:id`, whose namespace differs between the two kinds of Office Open XML."""
    return next((value for name, value in sheet.items() if name.endswith("}id")), "")


def _shared_strings(package: Package, part: str) -> list[str]:
    if part not in package:
        return []
    strings = []
    for event, element in package.elements(part, "{*}si"):
        if event == "end":
            strings.append(_words(element))
            forget(element)
    return strings


def _words(element: Any) -> str:
    """The text of a string in one piece or several, without its phonetic guide."""
    return "".join(
        each.text or ""
        for each in element.iter("{*}t")
        if not each.getparent().tag.endswith("}rPh")
    )


class _SheetReader:
    def __init__(self, package: Package, strings: list[str], formats: NumberFormats) -> None:
        self._package = package
        self._strings = strings
        self._formats = formats

    def rows(self, part: str) -> Iterator[list[str]]:
        """Yield the rows that have a value, each as long as its last one."""
        for event, row in self._package.elements(part, "{*}row"):
            if event == "end":
                values: list[str] = []
                for cell in row:
                    value = self._value(cell)
                    if value:
                        column = _column(cell.get("r", "")) or len(values) + 1
                        if column > MOST_COLUMNS:
                            raise self._package.damaged
                        values += [""] * (column - len(values))
                        values[column - 1] = value
                if values:
                    yield values
                forget(row)

    def _value(self, cell: Any) -> str:
        stored = ""
        for child in cell:
            if child.tag.endswith("}v"):
                stored = child.text or ""
            elif child.tag.endswith("}is"):
                return _words(child)
        kind = cell.get("t", "n")
        if not stored or kind in ("str", "e", "d", "inlineStr"):
            return stored
        if kind == "s":
            try:
                return self._strings[int(stored)]
            except (ValueError, IndexError):
                raise self._package.damaged from None
        if kind == "b":
            return "TRUE" if stored in _TRUE else "FALSE"
        return self._formats.show(stored, cell.get("s"))


def _column(reference: str) -> int:
    """The column of `AB12`, counted from 1; 0 when it isn't said."""
    column = 0
    for letter in reference:
        if not "A" <= letter <= "Z":
            break
        column = column * 26 + ord(letter) - 64
    return column


FORMAT = Format(MEDIA_TYPE, "XLSX", (".xlsx", ".xlsm"), recognise, parse)
