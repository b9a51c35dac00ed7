"""The file that `minirag sign-in` keeps its tokens in."""

from __future__ import annotations

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minirag.cli.failures import CliFailure
from minirag.cli.stored_sessions import StoredSession, StoredTokens, default_path

SERVER = "127.0.0.1:50051"


def tokens(name: str, seconds: float = 600) -> StoredTokens:
    return StoredTokens(f"mrt_{name}", time.time() + seconds, f"mrf_{name}")


def never(refresh_token: str) -> StoredTokens:
    raise AssertionError(f"{refresh_token} was renewed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions.json"


def test_tokens_read_back_for_their_server_only(path: Path) -> None:
    StoredSession(SERVER, path).save(tokens("a"))
    StoredSession("other:1", path).save(tokens("b"))

    assert StoredSession(SERVER, path).access_token(never) == "mrt_a"
    assert StoredSession("other:1", path).access_token(never) == "mrt_b"
    assert StoredSession("third:1", path).load() is None


def test_only_their_owner_reads_them(path: Path) -> None:
    StoredSession(SERVER, path).save(tokens("a"))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_forgotten_tokens_are_gone_and_others_stay(path: Path) -> None:
    session, other = StoredSession(SERVER, path), StoredSession("other:1", path)
    for one in (session, other):
        one.save(tokens("a"))

    session.forget()

    assert session.load() is None
    assert other.load() is not None
    with pytest.raises(CliFailure, match="sign-in"):
        StoredSession(SERVER, path).access_token(never)


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"127.0.0.1:50051": {"x": 1}}'])
def test_damaged_file_counts_as_nobody(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)

    assert StoredSession(SERVER, path).load() is None


def test_commands_that_run_at_once_renew_once(path: Path) -> None:
    StoredSession(SERVER, path).save(tokens("old", seconds=1))
    renewed: list[str] = []

    def renew(refresh_token: str) -> StoredTokens:
        renewed.append(refresh_token)
        return tokens("new")

    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: StoredSession(SERVER, path).access_token(renew), range(4)))

    assert texts == ["mrt_new"] * 4
    assert renewed == ["mrf_old"]
    assert StoredSession(SERVER, path).access_token(never) == "mrt_new"


def test_the_file_lies_where_programs_keep_their_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "minirag" / "sessions.json"

    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_path() == Path.home() / ".local/state/minirag/sessions.json"
