"""From a status to a line, a JSON object and an exit code."""

from __future__ import annotations

import json

import grpc
import pytest
import typer

from minirag.api.error_status import describe_error
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, describe_rpc_error, reporting
from minirag.cli.output import Output
from minirag.errors import FieldViolation, InvalidRequest, MiniRagError, NotFound, Unauthenticated

SERVER = "127.0.0.1:50051"


class FailedCall(grpc.RpcError):
    """What a stub raises, made without a server."""

    def __init__(
        self, code: grpc.StatusCode, details: str, error: MiniRagError | None = None
    ) -> None:
        super().__init__(details)
        self._code = code
        self._details = details
        self._metadata: list[tuple[str, bytes]] = []
        if error is not None:
            status = describe_error(error)
            self._metadata = [("grpc-status-details-bin", status.SerializeToString())]

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> list[tuple[str, bytes]]:
        return self._metadata


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("NOT_FOUND", 3),
        ("UNAUTHENTICATED", 4),
        ("PERMISSION_DENIED", 4),
        ("INVALID_ARGUMENT", 5),
        ("FAILED_PRECONDITION", 5),
        ("ALREADY_EXISTS", 5),
        ("ABORTED", 5),
        ("UNAVAILABLE", 6),
        ("RESOURCE_EXHAUSTED", 6),
        ("DEADLINE_EXCEEDED", 6),
        ("INTERNAL", 1),
        ("UNIMPLEMENTED", 1),
        ("UNKNOWN", 1),
    ],
)
def test_status_decides_the_exit_code(status: str, code: int) -> None:
    failure = describe_rpc_error(FailedCall(grpc.StatusCode[status], "why"), SERVER)

    assert failure.code == code


def test_line_has_message_violations_and_advice_once_each() -> None:
    error = InvalidRequest(
        "the request is wrong",
        [FieldViolation("slug", "is too short"), FieldViolation("name", "is too long")],
    )
    call = FailedCall(grpc.StatusCode.INVALID_ARGUMENT, error.message, error)

    failure = describe_rpc_error(call, SERVER)

    assert failure.line == "the request is wrong; slug: is too short; name: is too long"
    assert failure.reason == "INVALID_REQUEST"


def test_violation_that_the_message_quotes_is_not_repeated() -> None:
    error = InvalidRequest.field("slug", "is too short")
    call = FailedCall(grpc.StatusCode.INVALID_ARGUMENT, error.message, error)

    assert describe_rpc_error(call, SERVER).line == "slug: is too short"


def test_violation_that_the_server_cut_is_not_repeated() -> None:
    error = InvalidRequest.field("provider", "must be one of " + ", ".join(["provider"] * 30))
    call = FailedCall(grpc.StatusCode.INVALID_ARGUMENT, error.message, error)

    assert describe_rpc_error(call, SERVER).line == error.message


def test_missing_credential_is_told_how_to_be_given() -> None:
    error = Unauthenticated("no credential", reason="CREDENTIAL_MISSING")
    call = FailedCall(grpc.StatusCode.UNAUTHENTICATED, error.message, error)

    assert "MINIRAG_API_KEY" in describe_rpc_error(call, SERVER).line


def test_absent_server_is_told_with_what_to_do() -> None:
    call = FailedCall(
        grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; Connection refused"
    )

    assert describe_rpc_error(call, SERVER).line == (
        "can't reach 127.0.0.1:50051: start it with `minirag up`, or name another with --server"
    )


def test_failed_handshake_is_told_as_such() -> None:
    call = FailedCall(
        grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; Ssl handshake failed"
    )

    assert "--tls-ca" in describe_rpc_error(call, SERVER).line


def test_error_as_json_is_one_object_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotFound("document", "doc_1")

    with pytest.raises(typer.Exit) as ending, reporting("x", Output(as_json=True), SERVER):
        raise FailedCall(grpc.StatusCode.NOT_FOUND, error.message, error)

    printed = capsys.readouterr()
    assert ending.value.exit_code == ExitCode.NOT_FOUND
    assert printed.out == ""
    assert json.loads(printed.err)["error"] == {
        "status": "NOT_FOUND",
        "reason": "RESOURCE_NOT_FOUND",
        "message": error.message,
        "violations": [],
        "advice": "",
        "exit_code": 3,
    }


def test_message_of_several_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reporting("x", Output(as_json=False)):
        raise CliFailure("one\ntwo", ExitCode.FAILURE, advice="do\nthis")

    assert capsys.readouterr().err == "minirag x: one two; do this\n"


def test_interruption_has_the_code_of_a_shell() -> None:
    with pytest.raises(typer.Exit) as ending, reporting("x", Output(as_json=False)):
        raise KeyboardInterrupt

    assert ending.value.exit_code == 130


def test_own_mistakes_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError), reporting("x", Output(as_json=False)):
        raise ZeroDivisionError
