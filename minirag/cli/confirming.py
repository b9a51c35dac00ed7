"""Asking before something is erased."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.session import Session

YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def confirm(session: Session, question: str) -> None:
    """Return when somebody at the terminal says yes. Raises `CliFailure` when not, and where nobody is."""
    if session.output.as_json or not sys.stdin.isatty():
        raise CliFailure("nobody can be asked here: pass --yes to erase", ExitCode.USAGE)
    if not typer.confirm(question, err=True):
        raise CliFailure("nothing was erased", ExitCode.FAILURE)
