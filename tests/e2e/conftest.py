"""Whole nodes and deployments: real processes, sockets and servers; only the provider is a mock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.mock_provider import MockProvider
from tests.support.client import Client, create_tenant
from tests.support.node import NodeProcess, model_settings
from tests.support.programs import Program
from tests.support.servers import open_directory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the processes beside a failure."""
    report = yield
    if report.failed and item.path.is_relative_to(Path(__file__).parent):
        for program in Program.opened:
            report.sections.append((f"log of {program.name}", program.tail()))
    return report


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory that the servers' account can enter."""
    with open_directory() as path:
        yield path


@pytest.fixture(scope="session")
def node(mock_provider: MockProvider) -> Iterator[NodeProcess]:
    """A node with the mock's models that tests share: they leave it running."""
    with open_directory() as path:
        node = NodeProcess(path, model_settings(mock_provider.url))
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.fixture
async def client(node: NodeProcess) -> AsyncIterator[Client]:
    """A tenant of the shared node's, made for the test."""
    async with await create_tenant(node.address, node.platform_key) as made:
        yield made
