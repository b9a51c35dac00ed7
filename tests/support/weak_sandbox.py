"""A fork server whose kernel takes no seccomp filter: loaded by it where a test names this module.

The second line of defence is tested so, and the ends that the first line doesn't let a document make.
"""

from __future__ import annotations

from minirag.adapters.parsing import forkserver, system_calls
from minirag.adapters.parsing.format import Format


def _refuse() -> bool:
    return False


system_calls.filter_system_calls = _refuse
forkserver.is_filter_possible = _refuse

FORMATS: tuple[Format, ...] = ()
