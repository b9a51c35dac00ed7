"""The demo's documents: this project's own, two sets of them as a PDF and a Word file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import minirag
from minirag.cli.demo_files import Block, read_blocks, write_docx, write_pdf
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.upload_files import UploadFile

ROOT = Path(minirag.__file__).parents[1]
LAYOUT_VERSION = 1
"""Goes up when the files would look different for the same texts."""

PDF_NAME = "MiniRAG design decisions.pdf"
DOCX_NAME = "MiniRAG handbook.docx"

Writer = Callable[[Path, str, Sequence[Sequence[Block]]], None]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the demo uploads, and what a person should be told about it."""

    files: list[UploadFile]
    notes: list[str]


def build_corpus(directory: Path, root: Path = ROOT) -> Corpus:
    """Gather the project's Markdown, and write some of it to `directory` as PDF and DOCX instead.

    The two files are written anew only when their texts changed, so that their bytes stay the same.
    Raises `CliFailure` where the project's documents aren't beside the package.
    """
    texts = _markdown_files(root)
    if not texts:
        raise CliFailure(
            f"there are no documents in {root}",
            ExitCode.FAILURE,
            advice="the demo shows the project's own: run it from a checkout of the repository",
        )
    directory.mkdir(mode=0o700, exist_ok=True)
    notes: list[str] = []
    made: list[UploadFile] = []
    in_pdf, in_docx = _choose_sources(root, texts)
    for name, sources, write in (
        (PDF_NAME, in_pdf, write_pdf),
        (DOCX_NAME, in_docx, write_docx),
    ):
        if not sources:
            continue
        try:
            made.append(_keep_built(directory / name, sources, write))
        except ImportError as error:
            notes.append(f"No {name}: {error.name} isn't installed (`make setup` installs it).")
            continue
        texts = [path for path in texts if path not in sources]
    files = [UploadFile(path, path.relative_to(root).as_posix()) for path in texts]
    return Corpus(files + made, notes)


def _markdown_files(root: Path) -> list[Path]:
    named = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found = [*named, *sorted((root / "docs").rglob("*.md"))]
    return [path for path in found if path.is_file() and path.stat().st_size]


def _choose_sources(root: Path, texts: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return what becomes the PDF, and what the Word file. A passage lies in one document only, so that
    it is clear which one an answer is from."""
    decisions = [path for path in texts if path.is_relative_to(root / "docs" / "decisions")]
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        if root / name in texts:
            return decisions, [root / name]
    pages = [path for path in texts if path.parent == root / "docs"]
    return decisions, pages[-1:] if len(pages) > 1 else []


def _keep_built(path: Path, sources: Sequence[Path], write: Writer) -> UploadFile:
    texts = [source.read_text() for source in sources]
    digest = hashlib.sha256(json.dumps([LAYOUT_VERSION, *texts]).encode()).hexdigest()
    stamp = path.with_suffix(f"{path.suffix}.sha256")
    if not path.exists() or not stamp.exists() or stamp.read_text() != digest:
        partial = path.with_name(f".{path.name}")
        write(partial, path.stem, [read_blocks(text) for text in texts])
        partial.replace(path)
        stamp.write_text(digest)
    return UploadFile(path, path.name)
