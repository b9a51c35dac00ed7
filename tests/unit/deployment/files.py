"""The deployment's files, read for tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minirag.config import Settings

ROOT = Path(__file__).parents[3]
SETTINGS = {f"MINIRAG_{name.upper()}" for name in Settings.model_fields}
SECRETS = {
    f"MINIRAG_{name.upper()}"
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
}
_VARIABLE = re.compile(r"\$\{(\w+)(:[-?])?([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile: its word in capitals, and the rest on one line."""

    word: str
    rest: str


def load_compose() -> dict[str, Any]:
    with (ROOT / "docker-compose.yml").open() as file:
        loaded: dict[str, Any] = yaml.safe_load(file)
    return loaded


def load_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = load_compose()["services"]
    return services


def load_dockerfile() -> list[list[Instruction]]:
    """The instructions by stage, comments left out."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if not line.lstrip().startswith("#")
    ]
    text = "\n".join(lines).replace("\\\n", " ")
    stages: list[list[Instruction]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append(Instruction(word, " ".join(rest.split())))
    return stages


def load_example() -> dict[str, str]:
    """What `.env.example` names, those commented out included, with the value that it gives."""
    found: dict[str, str] = {}
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]+)=(.*)", line):
            found[match[1]] = match[2]
    return found


def substitute(text: str, values: dict[str, str]) -> str:
    """Do to `text` what Compose does: `${NAME:?message}`, `${NAME:-default}` and `$$`."""

    def value(found: re.Match[str]) -> str:
        given = values.get(found[1], "")
        if not given and found[2] == ":?":
            raise KeyError(f"{found[1]}: {found[3]}")
        return given or (found[3] if found[2] == ":-" else "")

    return _VARIABLE.sub(value, text).replace("$$", "$")


def required_variables() -> set[str]:
    """The variables without which Compose refuses to start."""
    text = (ROOT / "docker-compose.yml").read_text()
    return {name for name, kind, _ in _VARIABLE.findall(text) if kind == ":?"}


def variables() -> set[str]:
    text = (ROOT / "docker-compose.yml").read_text()
    return {name for name, _, _ in _VARIABLE.findall(text)}
