"""Markdown as a PDF or a Word file: plain, with headings, lists and code, as an office would send it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

# The PDF's built-in fonts know Latin-1 only.
_REPLACEMENTS = {
    "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-",
    "≥": ">=", "≤": "<=", "≈": "~", "✓": "yes", "✗": "no", "•": "-", "├": "|", "│": "|", "└": "`",
    "─": "-", "€": "EUR", "\u00a0": " ", "\t": "    ",
}  # fmt: skip
_FIXED_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""A PDF holds the date of its making: with this one, the same text makes the same bytes."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (`level` from 1), a paragraph, a list item (`level` is its depth) or code."""

    kind: str
    text: str
    level: int = 0


def read_blocks(markdown: str) -> list[Block]:
    """Return the blocks of a Markdown text, without the marks of emphasis and links."""
    from markdown_it import MarkdownIt  # for the demo only

    blocks: list[Block] = []
    depth = heading = 0
    row: list[str] | None = None
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        match token.type:
            case "heading_open":
                heading = int(token.tag[1])
            case "heading_close":
                heading = 0
            case "list_item_open":
                depth += 1
            case "list_item_close":
                depth -= 1
            case "tr_open":
                row = []
            case "tr_close":
                blocks.append(Block("paragraph", " | ".join(row or ())))
                row = None
            case "fence" | "code_block":
                blocks.append(Block("code", token.content.rstrip("\n")))
            case "inline":
                text = "".join(_plain(token.children or ()))
                if row is not None:
                    row.append(text)
                elif heading:
                    blocks.append(Block("heading", text, heading))
                else:
                    blocks.append(Block("item" if depth else "paragraph", text, depth))
    return blocks


def write_pdf(path: Path, title: str, documents: Sequence[Sequence[Block]]) -> None:
    """Write the documents, each from a new page on, with page numbers. Raises `ImportError`."""
    from fpdf import FPDF  # a tool of development: not everybody has it

    class Pages(FPDF):
        def footer(self) -> None:
            self.set_y(-15)
            self.set_font("Helvetica", size=8)
            self.cell(0, 10, str(self.page_no()), align="C")

    pdf = Pages(format="A4")
    pdf.set_title(title)
    pdf.set_creation_date(_FIXED_DATE)
    pdf.set_auto_page_break(True, margin=20)
    pdf.set_margins(20, 20, 20)
    for blocks in documents:
        pdf.add_page()
        for block in blocks:
            family, style, size, indent = _pdf_look(block)
            pdf.set_font(family, style, size)
            pdf.set_x(20 + indent)
            mark = "- " if block.kind == "item" else ""
            pdf.multi_cell(
                0,
                size * 0.5,
                mark + to_latin1(block.text),
                align="L",
                new_x="LMARGIN",
                new_y="NEXT",
            )
            pdf.ln(2)
    pdf.output(str(path))


def write_docx(path: Path, title: str, documents: Sequence[Sequence[Block]]) -> None:
    """Write the documents one after another, with Word's own heading and list styles."""
    import docx  # for the demo only

    document = docx.Document()
    document.core_properties.title = title
    for blocks in documents:
        for block in blocks:
            if block.kind == "heading":
                document.add_heading(block.text, level=block.level)
            else:
                style = "List Bullet" if block.kind == "item" else None
                document.add_paragraph(block.text, style=style)
    document.save(str(path))


def to_latin1(text: str) -> str:
    """Return the text in characters of Latin-1: signs by their likes, letters without their accents."""
    replaced = "".join(_REPLACEMENTS.get(character, character) for character in text)
    return "".join(_latin1_character(character) for character in replaced)


def _latin1_character(character: str) -> str:
    if ord(character) < 256:
        return character
    plain = unicodedata.normalize("NFKD", character).encode("latin-1", "ignore").decode("latin-1")
    return plain or "?"


def _pdf_look(block: Block) -> tuple[str, str, float, float]:
    """Font family, style, size in points, and indentation in millimetres."""
    match block.kind:
        case "heading":
            return "Helvetica", "B", (18, 14, 12)[min(block.level, 3) - 1], 0
        case "code":
            return "Courier", "", 9, 4
        case "item":
            return "Helvetica", "", 10.5, 4 * block.level
        case _:
            return "Helvetica", "", 10.5, 0


def _plain(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type in {"softbreak", "hardbreak"}:
            yield " "
        elif token.children:
            yield from _plain(token.children)
        elif token.type in {"text", "code_inline"}:
            yield token.content
