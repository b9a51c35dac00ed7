"""Logging: structlog for our own lines, and the standard library's routed through the same renderer.

Whatever is logged, keys and passwords are blotted out of the finished line: exceptions of libraries
quote URLs and headers that nobody meant to log.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from minirag.config import Settings

# Libraries that choose a level of their own, and tell each request at level info.
QUIET = ("httpx", "httpcore", "LiteLLM", "asyncio", "rq", "alembic", "sqlalchemy", "urllib3")

_SECRETS = re.compile(
    r"(?P<key>mrk_[0-9a-f]{32}_|mrf_[0-9a-f]{32}_[0-9a-f]{32}_|mrt_)[0-9a-zA-Z._-]+"
    r"|(?P<scheme>[Bb]earer\s+)[^\s\"',\\]+"
    r"|(?P<user>://[^\s:/@\"']*:)[^\s@\"']+(?=@)"
)

_SIGNS = ("mrk_", "mrt_", "mrf_", "earer", "://")


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Set up logging for the process, to standard error unless `stream` is given."""
    output = sys.stderr if stream is None else stream
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor]
    if settings.log_format == "json":
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = output.isatty()
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    rendering.append(blot_out_secrets)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(output, level, shared, rendering)


def blot_out_secrets(_: WrappedLogger, __: str, line: str | EventDict) -> str:
    """Replace keys, bearer tokens and URL passwords in a rendered line."""
    text = str(line)
    # Most lines hold nothing of the kind, and the pattern is slower than these looks.
    if any(sign in text for sign in _SIGNS):
        text = _SECRETS.sub(_blot, text)
    return text


def _blot(found: re.Match[str]) -> str:
    return f"{found['key'] or found['scheme'] or found['user']}***"


def _route_standard_library(
    output: TextIO, level: int, shared: list[Processor], rendering: list[Processor]
) -> None:
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Whatever the level: at debug, libraries quote what they send, prompts and documents among it.
    quiet = max(level, logging.WARNING)
    root.setLevel(quiet)
    for name in QUIET:
        logging.getLogger(name).setLevel(quiet)
    logging.getLogger("minirag").setLevel(level)
    logging.captureWarnings(True)
