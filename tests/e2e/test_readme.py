"""README and user's guides, executed word for word against a node."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from minirag_sdk.v1 import tenant_service_pb2 as pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

from tests.mock_provider import MockProvider
from tests.support.documents import README, ROOT, blocks, part, tour
from tests.support.node import NodeProcess
from tests.support.servers import open_directory

TOOLS = ROOT / ".tools" / "bin"
INSTALL = re.compile(r"go install (github\.com/fullstorydev/grpcurl/\S+@v[\d.]+)")
INSTALL_SECONDS = 400
SCRIPT_SECONDS = 200
NEXT = "---- next block ----"

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + SCRIPT_SECONDS)


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    """The grpcurl that the README names, installed into `.tools/bin` once."""
    program = TOOLS / "grpcurl"
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            reason = "go is needed to install grpcurl and isn't on the PATH"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        named = INSTALL.search(README.read_text())
        assert named is not None
        subprocess.run(
            [go, "install", named[1]],
            env={**os.environ, "GOBIN": str(TOOLS)},
            check=True,
            timeout=INSTALL_SECONDS,
        )
    return program


@dataclass(frozen=True)
class Shell:
    """A shell as a reader has it: grpcurl and the project's commands on the PATH, a node that listens."""

    node: NodeProcess
    path: str
    home: Path

    def run(self, commands: list[str]) -> list[str]:
        """Execute in one bash and return what each printed; fail if any command does."""
        script = f"\necho '{NEXT}'\n".join(commands)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env={
                "PATH": self.path,
                "HOME": str(self.home),
                "ADDRESS": self.node.address,
                "DATA": str(self.node.data),
            },
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
        return done.stdout.split(f"{NEXT}\n")


@pytest.fixture(scope="module")
def listening(mock_provider: MockProvider) -> Iterator[NodeProcess]:
    settings = {
        # As the guide of webhooks has it, whose examples send to this machine.
        "MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32",
        # As that of documents has it. Its collections are made without an embedding model.
        "MINIRAG_OFFERED_EMBEDDING_MODELS": "openai/text-embedding-3-small",
        "MINIRAG_MODEL_API_BASE": mock_provider.url,
        "MINIRAG_MODEL_API_KEY": "sk-test-provider",
    }
    with open_directory() as directory:
        node = NodeProcess(directory, settings)
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.fixture
def shell(grpcurl: Path, listening: NodeProcess) -> Iterator[Shell]:
    """A shell of a reader who begins: no tenant is there yet."""
    with open_directory() as directory:
        yield Shell(listening, f"{grpcurl.parent}:{os.environ['PATH']}", directory)
    with grpc.insecure_channel(listening.address) as channel:
        _erase_tenants(channel, listening.platform_key)


def _erase_tenants(channel: grpc.Channel, platform_key: str) -> None:
    credential = (("authorization", f"Bearer {platform_key}"),)
    tenants = TenantServiceStub(channel)
    for tenant in tenants.ListTenants(pb.ListTenantsRequest(), metadata=credential).tenants:
        request = pb.DeleteTenantRequest(tenant_id=tenant.id, now=True)
        tenants.DeleteTenant(request, metadata=credential)
    deadline = time.monotonic() + SCRIPT_SECONDS
    while tenants.ListTenants(pb.ListTenantsRequest(), metadata=credential).tenants:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def messages(output: str) -> list[dict]:
    """The JSON messages that grpcurl printed one after the other."""
    decoder = json.JSONDecoder()
    found, rest = [], output.strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        found.append(message)
        rest = rest[end:].lstrip()
    return found


def test_the_readme_leads_to_a_cited_answer_in_three_ways(shell: Shell) -> None:
    """By grpcurl, by the Python client and by the command line, in one shell as a reader would."""
    (client,) = blocks(README.read_text(), "python")
    file = shell.home / "client.py"
    file.write_text(client)
    commands = blocks(part(README.read_text(), "command line"), "bash")

    printed = shell.run([*tour(), f".venv/bin/python {file}", *commands])

    listed, key, watched, answered, from_python, from_command = printed
    assert {f"minirag.v1.{name}Service" for name in ("Tenant", "Document", "Chat")} <= set(
        listed.split()
    )
    assert messages(key)[0]["tenant"]["tenant_slug"] == "acme"
    assert watched.strip().splitlines()[-1].strip() == '"state": "DOCUMENT_STATE_READY",'
    check_answer(messages(answered))
    answer, source = from_python.strip().splitlines()
    assert answer == "Meals are paid up to 40 euros a day. [1]"
    assert source == "[1] Travel rules: Meals are paid up to 40 euros a day."
    assert "operations.md" in from_command
    assert "[1]" in from_command


def check_answer(printed: list[dict]) -> None:
    """The search's one response, then the events of the answer, in the order of the contract."""
    search, *events = printed
    kinds = [kind for event in events for kind in event if kind != "sequence"]
    citation = events[-2]["citation"]

    assert "team lead" in search["results"][0]["chunk"]["text"]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert kinds[:2] == ["started", "retrieval"]
    assert kinds.count("delta") > 1
    assert kinds[-2:] == ["citation", "completed"]
    assert citation["document_display_name"] == "Travel rules"
    assert "40 euros" in citation["quote"]


@pytest.mark.parametrize(
    "page", ["tenants", "users", "documents", "chat", "limits", "usage", "webhooks", "sources"]
)
def test_every_example_of_a_guide_works_after_the_tour(shell: Shell, page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    examples = blocks(text, "bash")
    for receiver in blocks(text, "python"):
        (shell.home / "receiver.py").write_text(receiver)

    printed = shell.run([*tour(), *examples])

    assert len(printed) == len(tour()) + len(examples)
    if page == "documents":
        outputs = dict(zip(examples, printed[len(tour()) :], strict=True))
        text, built, compared, over, gone = (
            next(output for example, output in outputs.items() if word in example)
            for word in (
                "GetDocumentText",
                "ReembedCollection",
                "mean_overlap",
                "SwitchEmbeddings",
                "DiscardEmbeddings",
            )
        )
        assert messages(text)[0]["text"] == "Bicycles"
        assert "OPERATION_STATE_SUCCEEDED" in built.splitlines()[-1]
        assert "mean_overlap" in compared
        assert "HYBRID" in over
        assert "OPERATION_STATE_SUCCEEDED" in gone.splitlines()[-1]
    if page == "webhooks":
        assert "webhook.test {'webhook_id': 'whk_" in (shell.home / "received.txt").read_text()
