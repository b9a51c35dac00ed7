"""The README and the pages of docs/, cut into what can be executed and checked."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted(
    [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language; `""` for those that name none."""
    return [body for named, body in _FENCE.findall(text) if named == language]


def part(text: str, name: str) -> str:
    """What stands between `<!-- name -->` and `<!-- end of name -->`."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.DOTALL)
    assert found is not None, f"no part named {name!r}"
    return found[1]


def tour() -> list[str]:
    """The blocks of the README's tour."""
    return blocks(part(README.read_text(), "tour"), "bash")
