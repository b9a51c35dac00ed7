"""Watches whose credential stops holding while they are open."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.interceptors import rechecks
from minirag.domain.access import Principal
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated, Unavailable
from tests.integration.api.conftest import RunningServer
from tests.support.refusals import refusal
from tests.support.waiting import until

REVOKED = Unauthenticated("the key is unknown or revoked: use another one")
SUSPENDED = PermissionDenied("the tenant is suspended", reason="TENANT_INACTIVE")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rechecks, "RECHECK_SECONDS", 0.02)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (REVOKED, StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
        (SUSPENDED, StatusCode.PERMISSION_DENIED, "TENANT_INACTIVE"),
    ],
)
async def test_open_watch_ends_when_its_key_is_refused(
    running: RunningServer, error: MiniRagError, code: StatusCode, reason: str
) -> None:
    watch = running.documents.WatchDocuments(
        pb.WatchDocumentsRequest(), metadata=running.as_tenant, timeout=20
    )
    for _ in range(2):
        await watch.read()

    running.container.authenticator.fails_with = error
    refused = await refusal(watch.read())

    assert (refused.code, refused.reason, refused.info_count) == (code, reason, 1)
    assert not running.container.watcher.is_open


async def test_open_watch_goes_on_while_nobody_can_tell_whether_its_key_holds(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = running.documents.WatchDocuments(
        pb.WatchDocumentsRequest(), metadata=running.as_tenant, timeout=20
    )
    for _ in range(2):
        await watch.read()
    looks = 0

    async def be_away(authorization: str | None) -> Principal:
        nonlocal looks
        looks += 1
        raise Unavailable("Postgres is away")

    monkeypatch.setattr(running.container.authenticator, "authenticate", be_away)
    await until(lambda: looks >= 3, within=10)

    assert running.container.watcher.is_open
    assert not watch.done()


async def test_looks_end_with_the_watch(running: RunningServer) -> None:
    watch = running.documents.WatchDocuments(
        pb.WatchDocumentsRequest(), metadata=running.as_tenant, timeout=20
    )
    await watch.read()

    watch.cancel()

    await until(lambda: not running.container.watcher.is_open, within=10)
    await until(
        lambda: not any("rechecks" in repr(task) for task in asyncio.all_tasks()), within=10
    )
