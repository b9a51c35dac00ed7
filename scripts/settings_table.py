"""Write the table of settings into README.md; with --check, only compare.

The block between the two marker lines is generated from `minirag.config.Settings`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from minirag.config import Settings

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- settings: written by scripts/settings_table.py -->"
END = "<!-- end of settings -->"
UNITS = (("MiB", 1024 * 1024), ("KiB", 1024))


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 when the table was to be checked and isn't up to date."""
    text = README.read_text()
    wanted = replace_table(text)
    if text == wanted:
        return 0
    if arguments == ["--check"]:
        print(
            f"{README.name}: the settings have changed: run `python {sys.argv[0]}`", file=sys.stderr
        )
        return 1
    README.write_text(wanted)
    return 0


def replace_table(text: str) -> str:
    """Return `text` with a fresh table between its markers. Raises `ValueError` without markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN!r} and {END!r} must stand in the text")
    return f"{before}{begin}\n{make_table()}{end}{after}"


def make_table() -> str:
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `MINIRAG_{name.upper()}` | {describe_default(name, field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def describe_default(name: str, field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("_bytes"):
        unit, size = next(((unit, size) for unit, size in UNITS if value % size == 0), ("B", 1))
        return f"`{value}` ({value // size} {unit})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
