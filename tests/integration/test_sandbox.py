"""Documents in confined processes: what their parsers can't do, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from structlog.testing import capture_logs

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import parse_content
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.chunks import ParsedText
from minirag.errors import ParseFailure, Unavailable
from tests.hostile.sound import SOUND
from tests.support.files import PNG, make_docx, make_pdf
from tests.support.hostile_formats import hostile
from tests.support.waiting import only_child, until

MEMORY_BYTES = 512 * 1024 * 1024
SECONDS = 2.0
MAX_TEXT_BYTES = 4 * 1024 * 1024


WEAK = "tests.support.weak_sandbox"


@pytest.fixture(scope="module")
async def parser() -> AsyncIterator[SandboxedParser]:
    parser = _make_parser(SECONDS)
    yield parser
    await parser.close()


@pytest.fixture(scope="module")
async def weak_parser() -> AsyncIterator[SandboxedParser]:
    """As on a system whose kernel takes no filter of system calls."""
    parser = _make_parser(SECONDS, extra_formats=[WEAK])
    yield parser
    await parser.close()


def _make_parser(seconds: float, extra_formats: Sequence[str] = ()) -> SandboxedParser:
    return SandboxedParser(
        memory_bytes=MEMORY_BYTES,
        seconds=seconds,
        max_text_bytes=MAX_TEXT_BYTES,
        parallel=2,
        extra_formats=["tests.support.hostile_formats", *extra_formats],
    )


async def _parse(
    parser: SandboxedParser, directory: Path, data: bytes, file_name: str = ""
) -> ParsedText:
    path = directory / "document"
    path.write_bytes(data)
    return await parser.parse(path, file_name=file_name, declared_media_type="")


async def _failure(parser: SandboxedParser, directory: Path, data: bytes) -> ParseFailure:
    with pytest.raises(ParseFailure) as caught:
        await _parse(parser, directory, data)
    return caught.value


async def _server_pid(parser: SandboxedParser) -> int:
    await parser.start()
    assert parser._server is not None
    return parser._server.pid


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_every_part_of_a_parsed_text_comes_back(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    document = await _parse(parser, tmp_path, "# Grüße\n\n知识\n".encode(), "notes.md")
    pdf = await _parse(parser, tmp_path, make_pdf(["first page", "second page"], title="Two"))
    docx = await _parse(parser, tmp_path, make_docx([(1, "Head"), "body"]))

    assert (document.text, document.media_type) == ("# Grüße\n\n知识\n", "text/markdown")
    assert [heading.title for heading in document.headings] == ["Grüße"]
    assert [page.number for page in pdf.pages] == [1, 2]
    assert pdf.title == "Two"
    assert docx.headings[0].title == "Head"


async def test_a_failure_keeps_its_code_and_reason(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, PNG)

    assert failure.code == "UNSUPPORTED_FORMAT"
    assert "a PNG image" in failure.message


@pytest.mark.parametrize("deed", ["spin", "sleep"])
async def test_a_parser_that_never_ends_is_ended(
    parser: SandboxedParser, tmp_path: Path, deed: str
) -> None:
    began = asyncio.get_running_loop().time()
    failure = await _failure(parser, tmp_path, hostile(deed))
    took = asyncio.get_running_loop().time() - began

    assert failure.code == "PARSER_LIMIT"
    assert "longer than 2 s" in failure.message
    assert SECONDS * 0.9 < took < SECONDS + 8


async def test_the_cpu_limit_holds_when_nobody_is_watching_the_clock(tmp_path: Path) -> None:
    """The child's own limit, set from `seconds`, ends it also when the caller's clock doesn't."""
    parser = _make_parser(1.0)
    await parser.start()
    parser._seconds = 30.0

    failure = await _failure(parser, tmp_path, hostile("spin"))
    await parser.close()

    assert failure.code == "PARSER_LIMIT"


async def test_a_parser_that_eats_memory_is_ended(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, hostile("eat-memory"))

    assert failure.code == "PARSER_LIMIT"
    assert "memory" in failure.message


async def test_a_parser_that_crashes_is_reported(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, hostile("crash"))

    assert failure.code == "PARSER_CRASH"
    assert "SIGSEGV" in failure.message


async def test_an_exception_names_its_class_and_none_of_the_document(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    failure = await _failure(parser, tmp_path, hostile("raise"))

    assert failure.code == "PARSER_CRASH"
    assert "KeyError" in failure.message
    assert "secret" not in failure.message


async def test_too_much_text_is_refused(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, hostile("long", str(MAX_TEXT_BYTES + 1)))
    longest = await _parse(parser, tmp_path, hostile("long", str(MAX_TEXT_BYTES)))

    assert failure.code == "TOO_LARGE"
    assert len(longest.text) == MAX_TEXT_BYTES


@pytest.mark.parametrize("lie", ["page", "page number", "heading", "endless title", "nul", "level"])
async def test_a_result_that_breaks_the_rules_is_not_believed(
    parser: SandboxedParser, tmp_path: Path, lie: str
) -> None:
    failure = await _failure(parser, tmp_path, hostile("lie", lie))

    assert failure.code == "PARSER_CRASH"


async def test_an_end_without_a_result_is_reported(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, hostile("leave"))

    assert failure.code == "PARSER_CRASH"


async def test_a_parser_writes_no_file(
    parser: SandboxedParser, weak_parser: SandboxedParser, tmp_path: Path
) -> None:
    deed = hostile("write-file", str(tmp_path / "loot"))

    parsed = await _parse(parser, tmp_path, deed)
    without_filter = await _parse(weak_parser, tmp_path, deed)

    assert parsed.text == "refused: Operation not permitted"
    assert without_filter.text == "refused: File too large"


async def test_a_parser_reads_and_changes_no_file(parser: SandboxedParser, tmp_path: Path) -> None:
    secret = tmp_path / "there"
    secret.write_text("of the worker", encoding="utf-8")

    read = await _parse(parser, tmp_path, hostile("read-file", str(secret)))
    touched = await _parse(parser, tmp_path, hostile("touch-files", str(tmp_path)))

    assert read.text == "refused: Operation not permitted"
    assert touched.text == "refused but for: "
    assert sorted(os.listdir(tmp_path)) == ["document", "there"]
    assert secret.read_text(encoding="utf-8") == "of the worker"


async def test_a_parser_has_its_document_its_result_and_nothing_else_open(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    descriptors = (await _parse(parser, tmp_path, hostile("list-descriptors"))).text.split()

    assert descriptors[:3] == ["0", "1", "2"]
    assert len(descriptors) == 5


async def test_a_parser_signals_no_other_process(parser: SandboxedParser, tmp_path: Path) -> None:
    server = await _server_pid(parser)

    parsed = await _parse(parser, tmp_path, hostile("signal-server"))

    assert parsed.text == "refused"
    assert await _server_pid(parser) == server


async def test_a_kernel_without_filters_is_told_in_the_log(tmp_path: Path) -> None:
    with capture_logs() as logs:
        parser = _make_parser(SECONDS, extra_formats=[WEAK])
        parsed = await _parse(parser, tmp_path, b"still read")
        await parser.close()

    assert parsed.text == "still read"
    assert [each["event"] for each in logs] == ["parser_keeps_system_calls"]


async def test_a_parser_sees_no_secret_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIRAG_PLATFORM_KEY", "a-secret-of-the-platform")
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-a-provider")
    parser = _make_parser(SECONDS)

    parsed = await _parse(parser, tmp_path, hostile("read-environment"))
    await parser.close()

    names = {line.partition("=")[0] for line in parsed.text.splitlines()}
    assert names <= {"PYTHONPATH", "PYTHONUTF8", "LANG", "LC_CTYPE", "GRPC_VERBOSITY"}


async def test_a_parser_reaches_no_network(parser: SandboxedParser, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        parsed = await _parse(parser, tmp_path, hostile("connect", str(port)))

    assert parsed.text == "refused: Operation not permitted"


async def test_a_parser_starts_no_process(parser: SandboxedParser, tmp_path: Path) -> None:
    failure = await _failure(parser, tmp_path, hostile("fork"))
    executed = await _parse(parser, tmp_path, hostile("execute"))

    assert failure.code == "PARSER_CRASH"
    assert "PermissionError" in failure.message
    assert executed.text == "refused"


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can start a process in a parser")
async def test_what_a_parser_started_ends_with_it(
    weak_parser: SandboxedParser, tmp_path: Path
) -> None:
    parsed = await _parse(weak_parser, tmp_path, hostile("leave-child"))
    server = await _server_pid(weak_parser)

    assert parsed.text == "parsed"
    assert psutil.Process(server).children(recursive=True) == []


async def test_a_cancelled_call_ends_its_child(parser: SandboxedParser, tmp_path: Path) -> None:
    server = await _server_pid(parser)
    task = asyncio.create_task(_parse(parser, tmp_path, hostile("sleep")))
    pid = await only_child(server)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await until(lambda: _is_gone(pid), within=2) < 2


async def test_closing_ends_server_and_children(tmp_path: Path) -> None:
    parser = _make_parser(30)
    server = await _server_pid(parser)
    task = asyncio.create_task(_parse(parser, tmp_path, hostile("sleep")))
    pid = await only_child(server)

    await parser.close()

    with pytest.raises(Unavailable):
        await task
    assert _is_gone(server)
    await until(lambda: _is_gone(pid), within=2)
    with pytest.raises(Unavailable):
        await _parse(parser, tmp_path, b"text")


async def test_a_killed_fork_server_is_started_again(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    """Also while a document is being read: that one is simply read again."""
    await parser.start()
    first = parser._server
    assert first is not None

    os.kill(first.pid, signal.SIGKILL)
    texts = [(await _parse(parser, tmp_path, b"still readable")).text for _ in range(2)]

    assert texts == ["still readable"] * 2
    assert parser._server is not first


async def test_a_document_that_ends_the_fork_server_fails_alone(
    weak_parser: SandboxedParser, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    hostile_one, harmless = await asyncio.gather(
        _failure(weak_parser, tmp_path, hostile("kill-server")),
        _parse(weak_parser, tmp_path / "other", b"harmless"),
    )

    assert hostile_one.code == "PARSER_CRASH"
    assert harmless.text == "harmless"


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "document").write_bytes(hostile("sleep"))
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.integration.test_sandbox import _make_parser\n"
        "async def main():\n"
        "    parser = _make_parser(60)\n"
        "    await parser.parse(Path(sys.argv[1]), file_name='', declared_media_type='')\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "document")
    )
    server = await only_child(parent.pid)
    pid = await only_child(server)

    parent.kill()
    await parent.wait()

    await until(lambda: _is_gone(pid) and _is_gone(server), within=2)


async def test_many_documents_at_once_each_get_their_own_text(
    parser: SandboxedParser, tmp_path: Path
) -> None:
    async def parse(number: int) -> str:
        directory = tmp_path / str(number)
        directory.mkdir()
        return (await _parse(parser, directory, f"document {number}".encode())).text

    texts = await asyncio.gather(*(parse(number) for number in range(50)))

    assert texts == [f"document {number}" for number in range(50)]


@pytest.mark.parametrize("extension", SOUND)
async def test_a_confined_parser_reads_what_a_free_one_reads(
    parser: SandboxedParser, tmp_path: Path, extension: str
) -> None:
    """None needs a module, a charset or a file that it would only load now."""
    data, file_name = SOUND[extension](), f"a.{extension}"

    confined = await _parse(parser, tmp_path, data, file_name)

    assert confined == parse_content(Content(data, file_name))
    assert confined.text


@pytest.mark.parametrize("charset", ["cp1252", "shift_jis", "gb18030", "koi8-r", "utf-16", "big5"])
async def test_a_confined_parser_reads_other_charsets(
    parser: SandboxedParser, tmp_path: Path, charset: str
) -> None:
    page = f'<!doctype html><meta charset="{charset}"><p>Words, and more of them.</p>'

    parsed = await _parse(parser, tmp_path, page.encode(charset), "a.html")

    assert "Words, and more of them." in parsed.text


async def test_a_mail_in_a_mail_is_read(parser: SandboxedParser, tmp_path: Path) -> None:
    """Python loads what writes a mail anew only then, which a parser must have done before."""
    inner = b"Subject: Inside\n\nFound in the inner mail.\n"
    mail = b"Subject: Outside\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n" + inner

    parsed = await _parse(parser, tmp_path, mail, "mail.eml")

    assert "Found in the inner mail." in parsed.text
