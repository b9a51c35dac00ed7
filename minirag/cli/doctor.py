"""`minirag doctor`: what this machine and these settings lack, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirag.cli.connecting import JsonOption
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import reporting
from minirag.cli.output import Output
from minirag.cli.processes import DataDirectoryOption

if TYPE_CHECKING:
    from minirag.embedded.available import Check


def doctor(
    data_dir: DataDirectoryOption = None,
    probe_models: Annotated[
        bool,
        typer.Option(
            "--probe-models",
            help="Call the models that are set, once each; a provider may charge it.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, or the servers that the settings name, and say what to do.

    With MINIRAG_DATABASE_URL set, what `serve` and `worker` need is checked; else what `up` needs.
    Exit code 1 when something is wrong.
    """
    output = Output(as_json=as_json)
    with reporting("doctor", output):
        checks = _run_checks(data_dir, probe_models)
        if as_json:
            output.show_json({"checks": [_to_json(check) for check in checks]})
        else:
            _show(output, checks)
        if not all(check.is_ok for check in checks):
            raise typer.Exit(ExitCode.FAILURE)


def _run_checks(data_dir: Path | None, probe_models: bool) -> list[Check]:
    from minirag.cli import doctor_checks, doctor_servers
    from minirag.config import SettingsError, load_settings
    from minirag.embedded.available import Check, check_machine
    from minirag.embedded.layout import default_data_directory
    from minirag.logs import configure_logging

    checks = doctor_checks.check_variables(os.environ)
    try:
        settings = load_settings()
    except SettingsError as error:
        name, _, problem = str(error).partition(": ")
        return [*checks, Check(name, False, problem, "correct it; nothing else was checked")]
    # The checks say what is wrong; the parts that are asked needn't log it as well.
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    checks += doctor_checks.check_listening(settings)
    if settings.database_url is not None:
        checks += asyncio.run(doctor_servers.check_servers(settings))
    else:
        data = (data_dir or default_data_directory()).absolute()
        checks += check_machine(data)
        checks += doctor_checks.check_node(data, settings)
    checks += asyncio.run(doctor_servers.check_models(settings, call=probe_models))
    return checks


def _show(output: Output, checks: list[Check]) -> None:
    for check in checks:
        mark, style = ("✓", "green") if check.is_ok else ("✗", "red")
        output.show(f"{mark} {check.name}: {check.detail}", style=style if not check.is_ok else "")
        if check.advice:
            output.show(f"    → {check.advice}", style="bold" if not check.is_ok else "")
    wrong = sum(not check.is_ok for check in checks)
    output.show("")
    output.show(
        "All is well." if not wrong else f"{wrong} of {len(checks)} checks found a problem."
    )


def _to_json(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "ok": check.is_ok,
        "detail": check.detail,
        "advice": check.advice,
    }
