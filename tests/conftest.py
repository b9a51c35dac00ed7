"""Fixtures for all tests. Each subject has its module in `tests/support`; this file only gathers them."""

from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling, Scheduling

pytest_plugins = [
    "tests.support.database",
    "tests.support.servers",
    "tests.support.redis",
    "tests.support.provider",
]

# How long an example takes says more of the machine than of what is tested.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Modules and folders that share something which takes long to start or to import, and is so once in each
# process that needs it.
SHARING = {
    "a deployment": (
        "e2e/test_cancelling.py",
        "e2e/test_outages.py",
        "e2e/test_own_writes.py",
        "e2e/test_overspend.py",
        "e2e/test_provider_credentials.py",
        "e2e/test_reembedding.py",
        "e2e/test_replicas.py",
        "e2e/test_shutdown.py",
        "e2e/test_throttled_workers.py",
        "e2e/test_worker_crash.py",
    ),
    "a node": (
        "e2e/test_bad_input.py",
        "e2e/test_leaving_clients.py",
        "e2e/test_main_path.py",
        "e2e/test_provider_faults.py",
        "e2e/test_reembedding_commands.py",
        "e2e/test_sources.py",
        "e2e/test_usage.py",
        "e2e/test_webhooks.py",
    ),
    "the command's node": ("integration/cli/",),
    "LiteLLM": (
        "integration/models/",
        "integration/services/test_cancelling.py",
        "integration/services/test_provider.py",
        "isolation/test_audit_log.py",
    ),
}
_GROUPS = {f"tests/{place}": group for group, places in SHARING.items() for place in places}


class SharingScheduling(LoadFileScheduling):
    """A file's tests run in one process, and so do those of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(PurePosixPath(nodeid.split("::", 1)[0]))
        return _GROUPS.get(file) or _GROUPS.get(file[: file.rindex("/") + 1], file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    # In the order in which they were collected: e2e first, whose long tests would else be waited for.
    config.option.loadscopereorder = False
    return SharingScheduling(config, log)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Collect without looking for garbage, of which there is little among all the modules and tests."""
    gc.disable()
    try:
        _import_own_share(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _import_own_share(config: pytest.Config) -> None:
    """Begin each process with other modules: what one has compiled, the others find compiled."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    folders = [config.rootpath / argument for argument in config.args]
    modules = sorted(
        file.relative_to(config.rootpath).with_suffix("")
        for folder in folders
        if folder.is_relative_to(config.rootpath)
        for file in folder.rglob("test_*.py")
    )
    number = int(worker["workerid"].removeprefix("gw"))
    for module in modules[number :: worker["workercount"]]:
        # Collection imports it again, and tells why it can't be.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(module.parts))
