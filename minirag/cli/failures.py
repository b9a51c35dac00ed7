"""What goes wrong in a command: one line for people, or one JSON object for programs, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from minirag.cli.exit_codes import ExitCode
from minirag.cli.output import Output

if TYPE_CHECKING:
    import grpc

_PREFIX = "ERROR_REASON_"

EXIT_CODES = {
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "UNAUTHENTICATED": ExitCode.DENIED,
    "PERMISSION_DENIED": ExitCode.DENIED,
    "INVALID_ARGUMENT": ExitCode.REFUSED,
    "FAILED_PRECONDITION": ExitCode.REFUSED,
    "ALREADY_EXISTS": ExitCode.REFUSED,
    "ABORTED": ExitCode.REFUSED,
    "OUT_OF_RANGE": ExitCode.REFUSED,
    "UNAVAILABLE": ExitCode.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": ExitCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": ExitCode.UNAVAILABLE,
}
"""By the name of the status code; any other is a FAILURE."""

ADVICE = {
    "CREDENTIAL_MISSING": "set MINIRAG_API_KEY, or pass --api-key",
    "CREDENTIAL_INVALID": "check the key that MINIRAG_API_KEY or an option holds",
    "CREDENTIAL_EXPIRED": "make a new one with `minirag key create`",
    "SCOPE_MISSING": "use a key that has the scope, or make one with `minirag key create`",
    "KEY_RESTRICTED": "use a key that isn't restricted to some collections",
    "PLATFORM_KEY_REQUIRED": "pass --platform-key, or set MINIRAG_PLATFORM_KEY",
    "TENANT_KEY_REQUIRED": "use a tenant's key: `minirag tenant create` shows the first one",
    "DEPENDENCY_UNAVAILABLE": "try again in a moment",
    "SHUTTING_DOWN": "try again in a moment",
    "PROVIDER_THROTTLED": "try again later",
    "PROVIDER_UNAVAILABLE": "try again in a moment",
    "UNKNOWN_METHOD": "the server is older or newer than this command: use the same version of both",
}
"""What to do, by the reason of the error, where the server's message may not say it in our words."""


class CliFailure(Exception):
    """A command can't do what it was asked.

    `status` and `reason` are the server's, and empty for what failed on this side. `violations` are
    (field, description) pairs.
    """

    def __init__(
        self,
        message: str,
        code: ExitCode,
        *,
        advice: str = "",
        status: str = "",
        reason: str = "",
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.advice = advice
        self.status = status
        self.reason = reason
        self.violations = tuple(violations)

    @property
    def line(self) -> str:
        """All of it in one line."""
        # A message about one field quotes its violation already; the server may have cut either.
        further = [
            f"{field}: {text}"
            for field, text in self.violations
            if text.removesuffix("…") not in self.message
        ]
        parts = [self.message, *further]
        if self.advice and self.advice not in self.message:
            parts.append(self.advice)
        return "; ".join(" ".join(part.split()) for part in parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "error": {
                "status": self.status,
                "reason": self.reason,
                "message": self.message,
                "violations": [
                    {"field": field, "description": text} for field, text in self.violations
                ],
                "advice": self.advice,
                "exit_code": int(self.code),
            }
        }


def is_unreachable(error: grpc.RpcError) -> bool:
    """True when no connection could be made, so that the call can't have arrived."""
    details = _details(error)
    return _status_name(error) == "UNAVAILABLE" and (
        "failed to connect" in details or "DNS resolution failed" in details
    )


def describe_rpc_error(error: grpc.RpcError, server: str) -> CliFailure:
    """Return what a failed call means to the person at the terminal."""
    status = _status_name(error)
    code = EXIT_CODES.get(status, ExitCode.FAILURE)
    if is_unreachable(error):
        return _unreachable(server, _details(error))
    reason, violations = _read_details(error)
    message = _details(error) or f"the server answered {status} without a word"
    advice = ADVICE.get(reason, "")
    if status == "UNAVAILABLE" and not reason:
        # Ours always gives a reason: this is the connection, or something between.
        message = f"the connection to {server} broke: {message}"
        advice = "try again; if the server speaks TLS, pass --tls"
    return CliFailure(
        message, code, advice=advice, status=status, reason=reason, violations=violations
    )


def _unreachable(server: str, details: str) -> CliFailure:
    if "andshake" in details or "SSL" in details or "certificate" in details.lower():
        return CliFailure(
            f"can't make a TLS connection to {server}",
            ExitCode.UNAVAILABLE,
            advice="name the certificate's authority with --tls-ca, or pass --no-tls for a server"
            " without TLS",
            status="UNAVAILABLE",
        )
    if "Socket closed" in details or "reset by peer" in details:
        return CliFailure(
            f"{server} closes the connection at once",
            ExitCode.UNAVAILABLE,
            advice="if it speaks TLS, pass --tls or name its authority with --tls-ca; if it asks for a"
            " certificate, --client-certificate and --client-key; else check the address",
            status="UNAVAILABLE",
        )
    return CliFailure(
        f"can't reach {server}: start it with `minirag up`, or name another with --server",
        ExitCode.UNAVAILABLE,
        status="UNAVAILABLE",
    )


def _read_details(error: grpc.RpcError) -> tuple[str, list[tuple[str, str]]]:
    """Return the reason and the field violations of a status; nothing where it holds none."""
    from google.rpc import error_details_pb2 as details_pb2  # type: ignore[import-untyped]  # no stubs
    from grpc_status import rpc_status

    reason, violations = "", []
    with suppress(ValueError):  # status and details that contradict each other
        rich_status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call as well
        for detail in rich_status.details if rich_status is not None else ():
            info, request = details_pb2.ErrorInfo(), details_pb2.BadRequest()
            if detail.Unpack(info):
                reason = info.reason.removeprefix(_PREFIX)
            elif detail.Unpack(request):
                violations += [(one.field, one.description) for one in request.field_violations]
    return reason, violations


def _status_name(error: Any) -> str:
    code = error.code() if hasattr(error, "code") else None
    return str(code.name) if code is not None else "UNKNOWN"


def _details(error: Any) -> str:
    return (error.details() or "") if hasattr(error, "details") else str(error)


@contextmanager
def reporting(command: str, output: Output, server: str = "") -> Iterator[None]:
    """Turn what goes wrong inside into a line on standard error and an exit code."""
    try:
        yield
        output.flush()
    except CliFailure as failure:
        _report(command, output, failure)
    except KeyboardInterrupt:
        output.say("")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _silence()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except Exception as error:
        # gRPC is imported by the commands that call: an error of its kind comes after that.
        grpc = sys.modules.get("grpc")
        if grpc is None or not isinstance(error, grpc.RpcError):
            raise
        _report(command, output, describe_rpc_error(error, server))


def _report(command: str, output: Output, failure: CliFailure) -> None:
    try:
        output.flush()
    except BrokenPipeError:
        _silence()
    output.report_failure(f"minirag {command}: {failure.line}", failure.to_json())
    raise typer.Exit(failure.code) from None


def _silence() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere instead of complaining."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
