"""Files of real programs give in a confined process what they give outside: nothing is loaded too late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.chunks import ParsedText
from minirag.errors import ParseFailure
from tests.support.parsed import parse

FOLDER = Path(__file__).parents[1] / "real_files" / "files"


def _one_of_each_kind() -> list[Path]:
    """Return a file for each program and format, in Chinese where there is one."""
    files = sorted(FOLDER.iterdir(), key=lambda path: (path.name.startswith("pottery"), path.name))
    return list({path.name.partition(".")[2]: path for path in files}.values())


@pytest.mark.long
async def test_real_files_are_read_in_the_sandbox_as_outside() -> None:
    files = _one_of_each_kind()
    outside = [parse(path.read_bytes(), path.name) for path in files]
    parser = SandboxedParser(
        memory_bytes=512 * 1024 * 1024, seconds=60.0, max_text_bytes=4 * 1024 * 1024, parallel=2
    )

    async def read(path: Path) -> ParsedText | str:
        try:
            return await parser.parse(path, file_name=path.name, declared_media_type="")
        except ParseFailure as failure:
            return f"{path.name}: {failure.message}"

    inside = await asyncio.gather(*map(read, files))
    await parser.close()

    assert len(files) > 20
    assert inside == outside
