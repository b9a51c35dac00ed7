"""Fixtures for all tests. Each subject has its module in `tests/support`; this file only gathers them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadFileScheduling, Scheduling

pytest_plugins = [
    "tests.support.database",
    "tests.support.servers",
    "tests.support.redis",
    "tests.support.provider",
]

# Modules that share something which takes long to start, and is started once in each process that needs it.
SHARING = {
    "a deployment": (
        "test_outages",
        "test_own_writes",
        "test_overspend",
        "test_provider_credentials",
        "test_replicas",
        "test_shutdown",
        "test_worker_crash",
    ),
    "a node": (
        "test_bad_input",
        "test_leaving_clients",
        "test_main_path",
        "test_provider_faults",
        "test_reembedding_commands",
        "test_sources",
        "test_usage",
        "test_webhooks",
    ),
}
_GROUPS = {
    f"tests/e2e/{module}.py": group for group, modules in SHARING.items() for module in modules
}


class SharingScheduling(LoadFileScheduling):
    """A file's tests run in one process, and so do those of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(PurePosixPath(nodeid.split("::", 1)[0]))
        return _GROUPS.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    # In the order in which they were collected: e2e first, whose long tests would else be waited for.
    config.option.loadscopereorder = False
    return SharingScheduling(config, log)
