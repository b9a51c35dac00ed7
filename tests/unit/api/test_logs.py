"""Log lines: what is in them, and what never is."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from minirag.config import load_settings
from minirag.logs import configure_logging

KEY = "mrk_" + "0" * 32 + "_" + "a" * 56
ACCESS_TOKEN = "mrt_" + ".".join(letter * 20 for letter in ("b-", "c_", "d0"))
REFRESH_TOKEN = "mrf_" + "0" * 32 + "_" + "1" * 32 + "_" + "e" * 64


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """A stream that everything is logged to; the process's own configuration comes back after."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    before = structlog.get_config()
    stream = io.StringIO()
    yield stream
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def configure(output: io.StringIO, **settings: object) -> None:
    configure_logging(load_settings(_env_file=None, **settings), output)


def test_json_lines_hold_event_level_time_and_context(output: io.StringIO) -> None:
    configure(output)

    with structlog.contextvars.bound_contextvars(correlation_id="abc"):
        structlog.get_logger().info("call", code="OK")

    line = json.loads(output.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "call", "level": "info", "code": "OK", "correlation_id": "abc"}


def test_the_standard_library_is_routed_through(output: io.StringIO) -> None:
    configure(output)

    logging.getLogger("some.library").warning("it is %s", "late")

    line = json.loads(output.getvalue())
    assert (line["event"], line["level"], line["logger"]) == (
        "it is late",
        "warning",
        "some.library",
    )


def test_lines_below_the_level_are_left_out(output: io.StringIO) -> None:
    configure(output, log_level="warning")

    structlog.get_logger().info("quiet")
    logging.getLogger("some.library").info("quiet")
    structlog.get_logger().warning("loud")

    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["loud"]


def test_chatty_libraries_are_heard_from_warning_on(output: io.StringIO) -> None:
    configure(output)

    logging.getLogger("httpx").info("HTTP Request: POST ...")

    assert output.getvalue() == ""


@pytest.mark.parametrize("library", ["openai._base_client", "httpx", "a.library.to.come"])
def test_no_library_is_heard_below_warning_at_level_debug_either(
    output: io.StringIO, library: str
) -> None:
    """OpenAI's client quotes prompts there."""
    configure(output, log_level="debug")

    logging.getLogger(library).debug("Request options: %s", {"messages": "a prompt"})
    logging.getLogger("minirag.some_module").debug("ours")

    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["ours"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_blotted_out_wherever_they_stand(output: io.StringIO, log_format: str) -> None:
    configure(output, log_format=log_format)
    url = "postgresql://minirag_app:hunter2@db:5432/minirag"

    structlog.get_logger().info("a", header=f"Bearer {KEY}", url=url)
    structlog.get_logger().info("b", tokens=[ACCESS_TOKEN, REFRESH_TOKEN])
    logging.getLogger("some.library").error("sent authorization: Bearer sk-secret to %s", url)
    try:
        raise ValueError(f"{KEY} at {url}")
    except ValueError:
        structlog.get_logger().exception("failed")

    text = output.getvalue()
    assert "failed" in text
    for secret in ("a" * 56, "hunter2", "sk-secret", "b-b", "c_c", "d0d", "eee"):
        assert secret not in text
    assert "minirag_app" in text


def test_warnings_are_logged(output: io.StringIO) -> None:
    configure(output)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("this goes away", DeprecationWarning, stacklevel=1)

    assert "this goes away" in output.getvalue()
