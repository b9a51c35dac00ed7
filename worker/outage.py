"""Says once that a dependency is away, and once that it is back."""

from __future__ import annotations

import threading

import structlog

from minirag.errors import MiniRagError

log = structlog.get_logger(__name__)


class OutageLog:
    """One line per outage, whichever thread meets it first."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._is_away = False
        self._lock = threading.Lock()

    def failed(self, error: Exception, *, is_expected: bool | None = None) -> None:
        """Note a failure. Unless it is of an expected kind, the line carries its stack."""
        with self._lock:
            if self._is_away:
                return
            self._is_away = True
        if is_expected is None:
            is_expected = isinstance(error, MiniRagError)
        log.warning(
            "outage_began",
            subject=self._subject,
            error=str(error) or type(error).__name__,
            exc_info=None if is_expected else error,
        )

    def recovered(self) -> None:
        """Note a success."""
        with self._lock:
            if not self._is_away:
                return
            self._is_away = False
        log.info("outage_ended", subject=self._subject)
