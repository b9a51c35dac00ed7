"""Settings: where they come from, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirag.config import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_given_values_go_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MINIRAG_PORT=1\nMINIRAG_HOST=::1\nMINIRAG_QUEUE_NAME=file\n")
    monkeypatch.setenv("MINIRAG_PORT", "2")
    monkeypatch.setenv("MINIRAG_HOST", "127.0.0.2")

    settings = load_settings(port=3)

    assert (settings.port, settings.host, settings.queue_name) == (3, "127.0.0.2", "file")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "70000", "less than or equal to 65535"),
        ("PORT", "http", "integer"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("PLATFORM_KEY", "short", "at least 32 characters"),
        ("EMBEDDING_BATCH_SIZE", "0", "greater than or equal to 1"),
        ("DATABASE_URL", "mysql://me:secret@host/db", "starts with postgresql://"),
        ("REDIS_URL", "host:6379", "starts with redis://"),
        ("QDRANT_URL", "qdrant:6333", "starts with http://"),
        ("BLOB_URL", "/var/blobs", "starts with s3://"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"MINIRAG_{name}", value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    message = str(caught.value)
    assert message.startswith(f"MINIRAG_{name}: ")
    assert told in message
    assert "\n" not in message
    assert "secret" not in message


def test_a_secret_is_not_told_when_it_is_wrong_nor_shown_when_it_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIRAG_PLATFORM_KEY", "not-long-enough-a-key")

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert "not-long" not in str(caught.value)
    assert "abc" * 20 not in repr(load_settings(platform_key="abc" * 20))


@pytest.mark.parametrize(
    "name", ["BLOB_PATH", "EDGE_PATH", "TLS_KEY_FILE", "PLATFORM_KEY", "DATABASE_URL"]
)
def test_an_empty_variable_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"MINIRAG_{name}", "")

    assert getattr(load_settings(), name.lower()) is None


@pytest.mark.parametrize(
    ("value", "meant"),
    [("true", "open"), ("1", "open"), ("FALSE", "off"), ("authenticated", "authenticated")],
)
def test_reflection_still_takes_what_it_took_before(
    monkeypatch: pytest.MonkeyPatch, value: str, meant: str
) -> None:
    monkeypatch.setenv("MINIRAG_REFLECTION", value)

    assert load_settings().reflection == meant
