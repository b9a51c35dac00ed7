"""Write docs/access.md: who may call which RPC; with --check, only compare.

The page is generated from `minirag.api.method_table`, which the server itself decides by.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from minirag.api.method_table import METHOD_TABLE, Caller, Rule
from minirag.domain.people import UserRole

PAGE = Path(__file__).resolve().parents[1] / "docs" / "access.md"
PREAMBLE = """\
# Who may call what

Made by `scripts/access_table.py` from the table that the server decides by, `minirag/api/method_table.py`. A
call that isn't in it is refused to everybody, and a test fails.

An API key needs the very scope: scopes don't include each other. A signed-in user needs the role or one
above. A key that is restricted to some collections is held to them as well, see
[tenants.md](tenants.md#keys); what a caller may do to users above itself, see
[users.md](users.md#managing-users). Signing somebody else out takes what UpdateUser takes. Beside these there
are health checks, which take no credential, and reflection, see `MINIRAG_REFLECTION`.
"""
YES = "yes"
NO = ""


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 when the page was to be checked and isn't up to date."""
    wanted = make_page()
    if PAGE.exists() and PAGE.read_text() == wanted:
        return 0
    if arguments == ["--check"]:
        print(
            f"docs/{PAGE.name}: the method table has changed: run `python {sys.argv[0]}`",
            file=sys.stderr,
        )
        return 1
    PAGE.write_text(wanted)
    return 0


def make_page() -> str:
    return PREAMBLE + "".join(_sections())


def _sections() -> Iterator[str]:
    roles = [role.value.capitalize() for role in UserRole]
    head = ["RPC", "No credential", "Platform key", "Key with", *roles, "Audited"]
    for service, entries in groupby(METHOD_TABLE.items(), key=lambda entry: _names(entry[0])[0]):
        yield f"\n## {service}\n\n"
        yield _row(head)
        yield _row(["---"] * len(head))
        for path, rule in entries:
            yield _row(_cells(_names(path)[1], rule))


def _cells(method: str, rule: Rule) -> list[str]:
    is_open = rule.caller is Caller.OPEN
    takes_platform = rule.caller in (Caller.ANY, Caller.PLATFORM, Caller.EITHER)
    return [
        f"`{method}`",
        YES if is_open else NO,
        YES if takes_platform else NO,
        _scope(rule),
        *(YES if _takes(rule, role) else NO for role in UserRole),
        YES if rule.is_audited else NO,
    ]


def _scope(rule: Rule) -> str:
    if rule.caller is Caller.ANY:
        return "any scope"
    if rule.needs_every_scope:
        return "every scope"
    return NO if rule.scope is None else f"`{rule.scope}`"


def _takes(rule: Rule, role: UserRole) -> bool:
    if rule.caller is Caller.ANY:
        return True
    return rule.least_role is not None and role.covers(rule.least_role)


def _names(path: str) -> tuple[str, str]:
    """The names of service and method in `/minirag.v1.UserService/SignIn`."""
    service, _, method = path.rpartition("/")
    return service.rpartition(".")[2], method


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
