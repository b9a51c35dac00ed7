"""The tokens of `minirag sign-in`, kept in a file of one's own and renewed when they run out.

One entry for each server, by the address that was given: tokens never go to another one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure

if TYPE_CHECKING:
    from minirag_sdk.v1 import user_service_pb2 as pb

RENEWED_BEFORE = timedelta(seconds=30)
"""An access token is renewed when it has less than that left, so that it lasts for the call."""


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """Times in seconds since 1970."""

    access_token: str
    access_until: float
    refresh_token: str

    @classmethod
    def of(cls, session: pb.Session) -> StoredTokens:
        until = session.access_token_expire_time.ToDatetime(tzinfo=UTC)
        return cls(session.access_token, until.timestamp(), session.refresh_token)

    @property
    def is_fresh(self) -> bool:
        left = self.access_until - datetime.now(UTC).timestamp()
        return left > RENEWED_BEFORE.total_seconds()


Renew = Callable[[str], StoredTokens]


class StoredSession:
    """What is kept for one server."""

    def __init__(self, server: str, path: Path | None = None) -> None:
        self.server = server
        self._path = path or default_path()
        self._tokens: StoredTokens | None = None

    def load(self) -> StoredTokens | None:
        """None when nobody is signed in there."""
        try:
            return StoredTokens(**self._read()[self.server])
        except (KeyError, TypeError):
            return None

    def save(self, tokens: StoredTokens) -> None:
        with self._locked():
            self._write({**self._read(), self.server: asdict(tokens)})

    def forget(self) -> None:
        with self._locked():
            kept = self._read()
            if kept.pop(self.server, None) is not None:
                self._write(kept)

    def access_token(self, renew: Renew) -> str:
        """Return a token that holds for a while yet. `renew` exchanges a refresh token.

        Commands that run at the same time renew one after the other, and once.
        """
        if self._tokens is None or not self._tokens.is_fresh:
            self._tokens = self.load()
        if self._tokens is None:
            raise CliFailure(
                f"nobody is signed in at {self.server} any more: `minirag sign-in TENANT EMAIL`",
                ExitCode.DENIED,
            )
        if not self._tokens.is_fresh:
            with self._locked():
                current = self.load() or self._tokens
                if not current.is_fresh:
                    current = renew(current.refresh_token)
                    self._write({**self._read(), self.server: asdict(current)})
            self._tokens = current
        return self._tokens.access_token

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _write(self, kept: dict[str, Any]) -> None:
        from minirag.embedded.private_files import write_private_file

        write_private_file(self._path, json.dumps(kept, indent=1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise CliFailure(f"{error.strerror}: {error.filename}", ExitCode.FAILURE) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            with suppress(OSError):
                os.close(descriptor)


def default_path() -> Path:
    """`sessions.json` where programs keep their state."""
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path.home() / ".local" / "state"
    return home / "minirag" / "sessions.json"
