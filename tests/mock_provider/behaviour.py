"""The grammar of model names; `tests.mock_provider` documents it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a model name asks for. -1 means never; times are seconds."""

    first: float = 0.0
    gap: float = 0.0
    tokens: int = -1
    burst: int = 1
    status: int = 200
    retry: str = ""
    flaky: int = 0
    refuse: int = 0
    hang: bool = False
    badjson: bool = False
    gate_at: int = -1
    hang_at: int = -1
    drop_at: int = -1
    error_at: int = -1
    cut_at: int = -1
    garble_at: int = -1
    cite: tuple[int, ...] = ()
    say: str = ""
    echo: bool = False
    nousage: bool = False
    finish: str = "stop"
    dim: int = 256
    short: bool = False
    ragged: bool = False
    nan: bool = False
    nobase64: bool = False


_FLAGS = frozenset({"badjson", "echo", "nousage", "short", "ragged", "nan", "nobase64"})
_COUNTS = frozenset({"tokens", "burst", "status", "flaky", "refuse", "dim"})
_PLACES = frozenset({"gate", "hang", "drop", "error", "cut", "garble"})


class UnknownBehaviourError(ValueError):
    """A segment that the grammar doesn't know: a test's typing error, answered with 404."""


@lru_cache(maxsize=1024)
def parse_behaviour(model: str) -> Behaviour:
    """Read a model name. Names that don't start with `mock` behave by default."""
    base, *segments = model.split(".")
    if not base.startswith("mock"):
        return Behaviour()
    chosen: dict[str, object] = {}
    for segment in segments:
        word, _, value = segment.partition("-")
        try:
            chosen.update(_read_segment(word, value))
        except ValueError as error:
            raise UnknownBehaviourError(f"model {model!r}: unknown segment {segment!r}") from error
    return Behaviour(**chosen)  # type: ignore[arg-type]  # keys and types by _read_segment


def _read_segment(word: str, value: str) -> dict[str, object]:
    if word in ("first", "gap"):
        return {word: int(value) / 1000}
    if word == "hang" and not value:
        return {"hang": True}
    if word in _PLACES:
        return {f"{word}_at": int(value)}
    if word in _COUNTS:
        return {word: int(value)}
    if word in _FLAGS and not value:
        return {word: True}
    if word == "cite":
        return {"cite": tuple(int(number) for number in value.split("-"))}
    if word == "say":
        return {"say": value.replace("_", " ")}
    if word in ("retry", "finish") and value:
        return {word: value}
    raise ValueError(word)
