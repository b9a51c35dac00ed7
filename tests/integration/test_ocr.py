"""Scanned pages, read by a stand-in for tesseract that tells what it was given."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minirag.adapters.parsing.ocr import OcrProgram
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.chunks import ParsedText
from minirag.errors import ParseFailure
from tests.support.files import make_pdf, make_zip

PROGRAM = """#!{python}
import os, socket, sys
picture = sys.stdin.buffer.read()
kind, width, height, depth = picture.split(b"\\n", 1)[0].split()
if "broken" in sys.argv[4]:
    sys.exit(3)
if "slow" in sys.argv[4]:
    while True:
        pass
told = [f"{{kind.decode()}} of {{width.decode()}} by {{height.decode()}}", " ".join(sys.argv[1:])]
told.append(" ".join(sorted(os.environ)))
for name, deed in (
    ("socket", lambda: socket.socket()),
    ("write", lambda: open({loot!r}, "wb", buffering=0).write(b"x")),
):
    try:
        deed()
    except OSError:
        told.append(f"no {{name}}")
dark = sum(byte < 128 for byte in picture[-int(width) * int(height):])
told.append("dark" if dark else "blank")
print("\\n".join(told))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "tesseract"
    loot = str(path.parent / "loot")
    path.write_text(PROGRAM.format(python=sys.executable, loot=loot), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
async def parser(program: Path, request: pytest.FixtureRequest) -> AsyncIterator[SandboxedParser]:
    languages = getattr(request, "param", "eng+deu")
    parser = SandboxedParser(
        memory_bytes=512 * 1024 * 1024,
        seconds=10 if languages != "slow" else 2,
        max_text_bytes=1024 * 1024,
        ocr=OcrProgram(str(program), languages),
    )
    yield parser
    await parser.close()


async def _parse(parser: SandboxedParser, directory: Path, data: bytes) -> ParsedText:
    path = directory / "document"
    path.write_bytes(data)
    return await parser.parse(path, file_name="a", declared_media_type="")


async def test_scanned_pages_are_read_and_keep_their_numbers(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    parsed = await _parse(parser, tmp_path, make_pdf(["typed", "", "typed as well"]))

    text = parsed.text.encode()
    second = text[parsed.pages[1].start : parsed.pages[1].end].decode().split("\n")
    assert [page.number for page in parsed.pages] == [1, 2, 3]
    assert parsed.text.startswith("typed\n\nP5 of 248")
    assert second[1] == "stdin stdout -l eng+deu --dpi 300"
    assert second[-1] == "dark"


async def test_the_program_has_no_network_no_files_to_write_and_no_environment(
    parser: SandboxedParser, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIRAG_PLATFORM_KEY", "a-secret-of-the-platform")

    lines = (await _parse(parser, tmp_path, make_pdf([""]))).text.split("\n")

    assert set(lines[2].split()) <= {"LANG", "LC_CTYPE", "OMP_THREAD_LIMIT", "PATH"}
    assert lines[3:5] == ["no socket", "no write"]


async def test_scans_in_an_archive_are_read(parser: SandboxedParser, tmp_path: Path) -> None:
    parsed = await _parse(parser, tmp_path, make_zip({"scan.pdf": make_pdf([""])}))

    assert "P5 of" in parsed.text


@pytest.mark.parametrize(
    ("parser", "code", "reason"),
    [("broken", "NO_TEXT", "ended with 3"), ("slow", "PARSER_LIMIT", "longer than 2 s")],
    indirect=["parser"],
)
async def test_a_program_that_fails_fails_the_document_only(
    parser: SandboxedParser, tmp_path: Path, code: str, reason: str
) -> None:
    with pytest.raises(ParseFailure) as caught:
        await _parse(parser, tmp_path, make_pdf([""]))
    after = await _parse(parser, tmp_path, b"words")

    assert caught.value.code == code
    assert reason in caught.value.message
    assert after.text == "words"
