"""What the pages name exists: links, files, tests, settings, commands, RPCs and error reasons."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from minirag_sdk.v1 import (
    chat_service_pb2,
    document_service_pb2,
    error_reason_pb2,
    source_service_pb2,
    tenant_service_pb2,
    usage_service_pb2,
    user_service_pb2,
    webhook_service_pb2,
)
from typer.core import TyperCommand, TyperGroup

from minirag.cli.main import app
from tests.support.documents import PAGES, ROOT, blocks
from tests.unit.deployment.files import SETTINGS, variables

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
ENVIRONMENT_OF_TOOLS = {
    "MINIRAG_SERVER",  # the client commands' own
    "MINIRAG_API_KEY",
    "MINIRAG_TEST_QDRANT_URL",  # the tests' own
}
GUIDES = {
    "tenants": tenant_service_pb2.DESCRIPTOR.services_by_name["TenantService"],
    "users": user_service_pb2.DESCRIPTOR.services_by_name["UserService"],
    "documents": document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"],
    "usage": usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"],
    "sources": source_service_pb2.DESCRIPTOR.services_by_name["SourceService"],
    "webhooks": webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
    "chat": chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"],
}


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@cache
def test_names() -> frozenset[str]:
    """Names of all test functions."""
    found = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return frozenset(found)


test_names.__test__ = False  # type: ignore[attr-defined]  # a helper whose name says what it returns


def command_lines(text: str) -> Iterator[str]:
    """Every `minirag ...` of a page: lines of blocks, and between backticks."""
    for language in ("", "bash"):
        for block in blocks(text, language):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"(\.venv/bin/)?minirag [a-z-]", line):
                    yield re.sub(r"\s+#.*", "", line)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(minirag [^`]+)`", prose)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


@pytest.mark.parametrize("name", NAMES)
def test_files_and_tests_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()

    for path in re.findall(r"`((?:minirag|worker|tests|docs|scripts|protos|gen)/[\w/.-]+)`", text):
        assert (ROOT / path).exists() or "<" in path, path
    for test in re.findall(r"`(test_\w+)`", text):
        assert test in test_names(), test


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named_exist(name: str) -> None:
    named = set(re.findall(r"MINIRAG_[A-Z_]+[A-Z]", (ROOT / name).read_text()))

    assert named <= SETTINGS | ENVIRONMENT_OF_TOOLS | variables()


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_are_ones_that_the_command_takes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # where the files that they name are
    for line in command_lines((ROOT / name).read_text()):
        if "COMMAND" not in line:
            parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "minirag frobnicate",
        "minirag documents get doc_1",
        "minirag upload docs --collection Handbook --nope",
        "minirag upload docs",
        "minirag search x --mode sideways",
    ],
)
def test_wrong_command_lines_would_be_noticed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    with pytest.raises(AssertionError):
        parse(line)


@cache
def whole_command() -> object:
    return typer.main.get_command(app)


def parse(line: str) -> None:
    """Fail if the command would refuse its command line; nothing is run."""
    words = shlex.split(line)[1:]
    command: object = whole_command()
    while isinstance(command, TyperGroup):
        if not words or words[0] in {"--help", "--version"}:
            return
        assert words[0] in command.commands, f"{line}: there is no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    assert isinstance(command, TyperCommand)
    if not words or words == ["--help"]:
        return  # named in a sentence, without what it takes
    try:
        command.make_context(command.name, words)
    except Exception as error:  # Typer has a Click of its own, whose errors it doesn't name
        raise AssertionError(f"{line}: {error}") from error


@pytest.mark.parametrize("guide", GUIDES)
def test_every_rpc_is_told_and_has_an_example(guide: str) -> None:
    text = (ROOT / "docs" / f"{guide}.md").read_text()
    service = GUIDES[guide]
    examples = "\n".join(blocks(text, "bash"))

    for method in service.methods:
        assert f"{service.name}/{method.name}" in examples, method.name
        assert f"**{method.name}**" in text, method.name


def test_every_error_reason_stands_in_the_table_with_its_status() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    contract = (ROOT / "protos/minirag/v1/error_reason.proto").read_text()
    stated = {
        reason: status
        for status, reason in re.findall(
            r"// ([A-Z_]+): (?:(?!\n\n).)*?\n  ERROR_REASON_(\w+) = ", contract, re.DOTALL
        )
    }

    known = {
        name.removeprefix("ERROR_REASON_")
        for name, number in error_reason_pb2.ErrorReason.items()
        if number
    }
    assert set(stated) == known
    assert rows == stated


def test_states_of_documents_and_answers_are_all_told() -> None:
    for page, enum in (
        ("documents", document_service_pb2.DocumentState),
        ("chat", chat_service_pb2.GenerationState),
    ):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        for name, number in enum.items():
            state = name.split("_STATE_")[1]
            if number and state != "RUNNING":
                assert f"| `{state}` |" in text


def test_every_table_of_the_schema_is_told() -> None:
    schema = (ROOT / "minirag/migrations/versions/0001_foundations.py").read_text()
    text = (ROOT / "docs/architecture.md").read_text()

    for table in re.findall(r"^CREATE TABLE (\w+)", schema, re.MULTILINE):
        assert f"`{table}`" in text


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    for page in sorted((ROOT / "docs/decisions").glob("*.md")):
        if page.name == "README.md":
            continue
        text = page.read_text()

        assert f"({page.name})" in index
        parts = re.findall(r"^\*\*(Context|Decision|Consequences)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], page.name


@pytest.mark.parametrize("name", NAMES)
def test_make_words_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    words = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    text = (ROOT / name).read_text()

    named = set(re.findall(r"`make ([a-z]+)", text))
    for block in blocks(text, ""):
        named |= set(re.findall(r"^make ([a-z]+)", block, re.MULTILINE))
    assert named <= words


def test_the_pages_hold_no_key() -> None:
    for page in [*PAGES, ROOT / ".env.example"]:
        text = page.read_text()
        assert not re.search(r"mr[kp]_[0-9A-Za-z]{8}|sk-[0-9A-Za-z]{8}", text), page


def test_the_changelog_names_this_version() -> None:
    import minirag

    assert f"## [{minirag.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_pages_are_found() -> None:
    assert Path(ROOT / "docs/operations.md") in PAGES
    assert len(PAGES) > 15
