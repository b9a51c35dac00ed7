"""Keys, servers that are away, and what happens then."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from functools import partial
from uuid import uuid4

import pytest

from minirag.errors import Unavailable
from minirag.services.ports.requests import RequestKey
from tests.integration.api.conftest import RunningServer, open_server, serve
from tests.integration.cli.conftest import Cli
from tests.support.fake_services import PLATFORM_KEY, FakeTenants, make_container
from tests.support.programs import MINIRAG, ROOT
from tests.support.waiting import until

AWAY = "127.0.0.1:1"

COMMANDS = [
    ("collection", "list"),
    ("collection", "create", "x"),
    ("key", "list"),
    ("key", "create", "--scope", "read"),
    ("key", "revoke", "key_1"),
    ("upload", __file__, "--collection", "col_1"),
    ("documents", "list"),
    ("documents", "show", "doc_1"),
    ("documents", "delete", "doc_1"),
    ("search", "x"),
    ("ask", "x"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_absent_server_is_told_at_once_in_one_line(command: tuple[str, ...]) -> None:
    away = Cli({"MINIRAG_SERVER": AWAY, "MINIRAG_API_KEY": "mrk_secret"})
    began = time.monotonic()

    result = away.run(*command, code=6)

    assert result.stdout == ""
    assert result.stderr.endswith(
        f": can't reach {AWAY}: start it with `minirag up`, or name another with --server\n"
    )
    assert result.stderr.count("\n") == 1
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_key_is_denied_and_never_shown(platform: Cli, command: tuple[str, ...]) -> None:
    key = f"mrk_{uuid4().hex}_{'5' * 56}"
    stranger = Cli({**platform.environment, "MINIRAG_API_KEY": key})

    result = stranger.run(*command, code=4)
    as_json = stranger.run(*command, "--json", code=4)

    assert key not in result.output + as_json.output
    assert json.loads(as_json.stderr)["error"]["status"] == "UNAUTHENTICATED"


def test_missing_keys_are_told_before_anything_is_sent() -> None:
    nobody = Cli({"MINIRAG_SERVER": AWAY, "XDG_DATA_HOME": "/nonexistent"})

    assert "MINIRAG_API_KEY" in nobody.run("collection", "list", code=4).stderr


async def test_process_that_called_a_server_ends_before_the_interpreter_is_taken_apart() -> None:
    command = (
        "import atexit; from minirag.cli.main import run; atexit.register(print, 'apart'); run()"
    )
    async with open_server() as server:
        process = await start_at(server, "key", "list", code=command)
        output, errors = await asyncio.wait_for(process.communicate(), 60)

    assert (process.returncode, errors) == (0, b"")
    assert output
    assert b"apart" not in output


async def run_at(server: RunningServer, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the command in a process of its own, check its exit code, and return what it printed."""
    process = await start_at(server, *arguments)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, (process.returncode, output, errors)
    return output.decode(), errors.decode()


def environment_of(server: RunningServer) -> dict[str, str]:
    return {
        "MINIRAG_SERVER": f"127.0.0.1:{server.port}",
        "MINIRAG_API_KEY": server.container.authenticator.key_with(),
        "MINIRAG_PLATFORM_KEY": PLATFORM_KEY,
    }


async def test_change_is_repeated_under_one_request_id_while_the_server_is_unavailable() -> None:
    class TenantsAfterAWhile(FakeTenants):
        async def create(self, *, slug: str, display_name: str, request: RequestKey | None):  # type: ignore[no-untyped-def]
            if len(self.requests) < 3:
                self.requests.append(request)
                raise Unavailable("Postgres is away; retry in a moment")
            return await super().create(slug=slug, display_name=display_name, request=request)

    container = make_container()
    container.tenants = TenantsAfterAWhile()
    async with serve(container) as server:
        await run_at(server, "tenant", "create", "acme")

    requests = container.tenants.requests
    assert len(requests) == 4
    assert None not in requests
    assert len({request.request_id for request in requests if request is not None}) == 1


async def test_answer_that_fails_in_its_middle_keeps_what_was_said() -> None:
    async with open_server() as server:
        server.container.answers.fails_with = Unavailable("the provider broke off; ask again")

        output, errors = await run_at(server, "ask", "who?", code=6)

    assert output == "Hello world"
    assert "the provider broke off" in errors


async def test_fault_of_the_server_is_a_failure_with_its_correlation_id() -> None:
    async with open_server() as server:
        server.container.answers.fails_with = ZeroDivisionError("private detail")

        output, errors = await run_at(server, "ask", "who?", code=1)

    assert "correlation id" in errors
    assert "private detail" not in output + errors


async def test_interrupted_answer_is_cancelled_and_ends_with_130() -> None:
    async with open_server() as server:
        answers = server.container.answers
        answers.gate = asyncio.Event()
        process = await start_at(server, "ask", "who?")
        assert process.stdout is not None
        said = await process.stdout.readexactly(5)

        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        await until(lambda: answers.endings, within=10)

    assert said == b"Hello"
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert answers.endings == ["closed"]


async def test_reader_that_goes_away_ends_the_command_quietly() -> None:
    async with open_server() as server:
        server.container.answers.words = ["word "] * 50_000
        process = await start_at(server, "ask", "who?")
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.read(5), await process.stderr.read()

        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `head` does
        errors = await asyncio.wait_for(process.stderr.read(), 30)
        code = await asyncio.wait_for(process.wait(), 30)

    assert (code, errors) == (141, b"")


async def start_at(
    server: RunningServer, *arguments: str, code: str = MINIRAG[-1]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *MINIRAG[:-1],
        code,
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment_of(server)},
        cwd=ROOT,
        # A shell starts its background jobs, tests among them, deaf to Ctrl-C, and so are their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
