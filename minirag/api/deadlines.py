"""The caller's deadline, passed on."""

from __future__ import annotations

from minirag.api.calls import ServicerContext
from minirag.errors import DeadlineExceeded


def time_left(context: ServicerContext) -> float | None:
    """Return the seconds that the caller still waits, None without a deadline.

    Raises `DeadlineExceeded` when it has passed.
    """
    # The stub says float; without a deadline it is None.
    left: float | None = context.time_remaining()
    if left is not None and left <= 0:
        raise DeadlineExceeded("the call's deadline has passed: allow it more time")
    return left
