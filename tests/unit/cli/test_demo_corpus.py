"""The demo's documents, some of them as PDF and Word files."""

from __future__ import annotations

from pathlib import Path

import docx
import pypdfium2
import pytest

from minirag.cli.demo_corpus import DOCX_NAME, PDF_NAME, build_corpus
from minirag.cli.demo_files import Block, read_blocks, to_latin1
from minirag.cli.failures import CliFailure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "README.md": "# Project\n\nRead me.",
        "CONTRIBUTING.md": "# Contributing\n\nRun `make test`.\n\n- small commits",
        "docs/guide.md": "# Guide\n\nUse it.",
        "docs/decisions/stores.md": "# Stores\n\nPostgres — “the truth” → always.",
        "docs/decisions/models.md": "# Models\n\nAny of them.",
    }
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return tmp_path / "root"


def test_corpus_is_the_markdown_with_some_of_it_in_other_formats(
    root: Path, tmp_path: Path
) -> None:
    corpus = build_corpus(tmp_path / "made", root)

    assert [file.name for file in corpus.files] == [
        "README.md",
        "docs/guide.md",
        PDF_NAME,
        DOCX_NAME,
    ]
    assert corpus.notes == []


def test_pdf_has_a_page_for_each_decision_with_its_text(root: Path, tmp_path: Path) -> None:
    build_corpus(tmp_path / "made", root)

    pdf = pypdfium2.PdfDocument(tmp_path / "made" / PDF_NAME)
    pages = [page.get_textpage().get_text_range() for page in pdf]
    pdf.close()
    assert len(pages) == 2
    assert "Any of them." in pages[0]
    assert 'Postgres - "the truth" -> always.' in pages[1]


def test_word_file_has_headings_and_lists(root: Path, tmp_path: Path) -> None:
    build_corpus(tmp_path / "made", root)

    paragraphs = docx.Document(str(tmp_path / "made" / DOCX_NAME)).paragraphs
    assert [(each.style.name, each.text) for each in paragraphs] == [
        ("Heading 1", "Contributing"),
        ("Normal", "Run make test."),
        ("List Bullet", "small commits"),
    ]


def test_files_are_written_anew_only_when_their_text_changed(root: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    build_corpus(made, root)
    first = {name: (made / name).read_bytes() for name in (PDF_NAME, DOCX_NAME)}

    (root / "CONTRIBUTING.md").write_text("# Contributing\n\nDifferent.")
    build_corpus(made, root)

    assert (made / PDF_NAME).read_bytes() == first[PDF_NAME]
    assert (made / DOCX_NAME).read_bytes() != first[DOCX_NAME]


def test_place_without_documents_is_told(tmp_path: Path) -> None:
    with pytest.raises(CliFailure) as refusal:
        build_corpus(tmp_path / "made", tmp_path)

    assert "checkout of the repository" in refusal.value.line


def test_markdown_is_read_without_its_marks() -> None:
    text = (
        "## A *heading*\n\nSome **bold** [link](http://x) and `code`\nin two lines.\n\n"
        "1. one\n   - inner\n\n```sh\nmake\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )

    assert read_blocks(text) == [
        Block("heading", "A heading", 2),
        Block("paragraph", "Some bold link and code in two lines."),
        Block("item", "one", 1),
        Block("item", "inner", 2),
        Block("code", "make"),
        Block("paragraph", "a | b"),
        Block("paragraph", "1 | 2"),
    ]


def test_characters_outside_latin1_become_their_likes() -> None:
    assert to_latin1("„Grüße“ … ≥ Łódź ﬁn 字") == '?Grüße" ... >= ?ódz fin ?'
