"""A format is one file and one line, as CONTRIBUTING.md says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from minirag.adapters import parsing
from minirag.adapters.parsing import registry
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import parse_content

ROOT = Path(__file__).parents[3]
SUBTITLES = (
    "1\n00:00:01,000 --> 00:00:03,500\nWo ist der Schlüssel?\n\n"
    "2\n00:00:04,000 --> 00:00:06,000\nUnter der Matte,\nwie immer.\n"
)


def test_a_format_is_added_by_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a document format")[2]
    module = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    line = re.search(r'whose line in `MODULES` of `registry.py` is `("\w+",)`', guide)
    assert module
    assert line
    (tmp_path / "subtitles.py").write_text(module[1])
    changed = tmp_path / "registry.py"
    source = Path(registry.__file__).read_text()
    changed.write_text(source.replace("MODULES = (\n", f"MODULES = (\n    {line[1]}\n"))
    monkeypatch.setattr(parsing, "__path__", [*parsing.__path__, str(tmp_path)])

    formats = runpy.run_path(str(changed))["FORMATS"]
    parsed = parse_content(Content(SUBTITLES.encode(), "film.srt"), formats=formats)

    assert parsed.media_type == "application/x-subrip"
    assert parsed.text == "Wo ist der Schlüssel?\nUnter der Matte,\nwie immer."


def test_every_parser_is_in_the_registry() -> None:
    having = {
        path.stem
        for path in Path(registry.__file__).parent.glob("*.py")
        if re.search(r"^FORMAT = Format\(", path.read_text(), re.MULTILINE)
    }

    assert having == set(registry.MODULES)


def test_formats_differ_in_media_type_and_extensions() -> None:
    types = [each.media_type for each in registry.FORMATS]
    extensions = [extension for each in registry.FORMATS for extension in each.extensions]

    assert len(types) == len(set(types))
    assert len(extensions) == len(set(extensions))
