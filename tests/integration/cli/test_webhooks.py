"""`minirag webhook`, against a node that may send to this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.integration.cli.conftest import Cli


@pytest.fixture
def url() -> Iterator[str]:
    """A URL that is allowed and where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/hooks"


def test_webhook_is_made_listed_changed_and_deleted(tenant: Cli, url: str) -> None:
    shown = tenant.run("webhook", "create", url, "--events", "document.ready,quota.reached")
    [made] = tenant.json("webhook", "list")["webhooks"]
    tenant.run("webhook", "update", made["id"], "--name", "Ops", "--disable")
    listed = tenant.run("webhook", "list").stdout
    tenant.run("webhook", "delete", made["id"])

    assert shown.stdout.count("whsec_") == 1
    assert made["event_types"] == [
        "WEBHOOK_EVENT_TYPE_DOCUMENT_READY",
        "WEBHOOK_EVENT_TYPE_QUOTA_REACHED",
    ]
    [line] = [line for line in listed.splitlines() if made["id"] in line]
    assert "document.ready, quota.reached" in line
    assert "disabled" in line
    assert "Ops" in line
    assert tenant.json("webhook", "list") == {"webhooks": []}


def test_test_that_fails_is_told_and_its_delivery_listed_and_replayed(
    tenant: Cli, url: str
) -> None:
    webhook = tenant.json("webhook", "create", url)["webhook"]

    failed = tenant.run("webhook", "test", webhook["id"], code=1)
    [dead] = tenant.json("webhook", "deliveries", webhook["id"], "--state", "dead")["deliveries"]
    shown = tenant.run("webhook", "deliveries", webhook["id"]).stdout
    replayed = tenant.json("webhook", "replay", dead["id"])

    assert "no connection" in failed.stderr
    assert "webhook.test" in shown
    assert replayed["delivery"]["state"] == "WEBHOOK_DELIVERY_STATE_PENDING"


def test_wrong_usage_and_inner_targets_are_refused(tenant: Cli) -> None:
    inner = tenant.run("webhook", "create", "https://169.254.169.254/", code=5)

    assert "public address" in inner.stderr
    tenant.run("webhook", "create", "http://127.0.0.1:9999/", "--events", "everything", code=2)
    tenant.run("webhook", "update", "whk_1", code=2)
    tenant.run("webhook", "test", "whk_1", code=3)
