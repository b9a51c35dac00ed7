"""robots.txt as RFC 9309 has it: the rules for one robot, and what they say of a path.

Our own, as the libraries match wildcards by regular expressions, which a hostile file can make run for
hours, or not at all. Here a match takes time in proportion to path and rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

MOST_BYTES = 500 * 1024
"""The rest of a longer file isn't read (RFC 9309, 2.5)."""
MOST_RULES = 2000
LONGEST_RULE = 2000
LONGEST_DELAY = 10.0
"""Seconds; a crawl delay of more counts as this."""


@dataclass(frozen=True, slots=True)
class Robots:
    """What one site asks of one robot."""

    rules: tuple[tuple[str, bool], ...] = ()
    """Patterns and whether they allow, the longest first, and of equally long ones the allowing first."""
    delay: float = 0.0
    """Seconds between two requests."""

    def allows(self, path: str) -> bool:
        """`path` with its query. The longest rule that matches decides; none allows."""
        wanted = _canonical(path)
        return next((allows for rule, allows in self.rules if _matches(rule, wanted)), True)


FORBID_ALL = Robots((("/", False),))
ALLOW_ALL = Robots()


def parse_robots(text: str, agent: str) -> Robots:
    """Read the group for `agent` (a product token such as `MiniRAG`), else the one for `*`."""
    groups: dict[str, tuple[list[tuple[str, bool]], list[float]]] = {}
    current: list[str] = []
    in_rules = False
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            if in_rules:
                current, in_rules = [], False
            token = value.lower().partition("/")[0].strip()
            current.append(token)
            groups.setdefault(token, ([], []))
        elif name in ("allow", "disallow", "crawl-delay"):
            in_rules = True
            for token in current:
                _add(groups[token], name, value)
    rules, delays = groups.get(agent.lower()) or groups.get("*") or ([], [])
    ordered = sorted(rules, key=lambda rule: (-len(rule[0]), not rule[1]))
    return Robots(tuple(ordered), max(delays, default=0.0))


def _add(group: tuple[list[tuple[str, bool]], list[float]], name: str, value: str) -> None:
    rules, delays = group
    if name == "crawl-delay":
        try:
            seconds = float(value)
        except ValueError:
            return
        if seconds > 0:
            delays.append(min(seconds, LONGEST_DELAY))
    elif value and len(rules) < MOST_RULES:
        rules.append((_canonical(value[:LONGEST_RULE]), name == "allow"))


def _canonical(path: str) -> str:
    """One spelling of percent-encoding, so that `%7E` and `~` are the same (RFC 9309, 2.2.2)."""
    return quote(unquote_to_bytes(path), safe="/*$?=&:@!'(),;+[]~-._")


def _matches(rule: str, path: str) -> bool:
    """`*` stands for any characters, `$` at the end for the end of the path."""
    is_anchored = rule.endswith("$")
    first, *others = (rule[:-1] if is_anchored else rule).split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not others:
        return at == len(path) or not is_anchored
    last = others.pop()
    for part in others:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if is_anchored:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0
