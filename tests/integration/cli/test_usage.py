"""`minirag usage`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


@pytest.fixture
def asked(tenant: Cli, folder: Path) -> Cli:
    """A tenant that has asked a question."""
    tenant.run("collection", "create", "Animals")
    tenant.run("upload", folder, "--collection", "Animals")
    tenant.run("ask", "When is the wool sheared?")
    return tenant


def test_usage_is_drawn_by_day_and_by_model(asked: Cli) -> None:
    shown = asked.run("usage").stdout

    lines = shown.splitlines()
    assert lines[0] == "Spent this month:  $0"
    assert "Today:  $0 for 1 call" in lines
    assert any("tokens" in line and "█" in line for line in lines)
    [row] = [line for line in lines if line.startswith("extractive")]
    assert row.split()[1] == "1"
    assert row.endswith("ms")
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "\x1b" not in shown


def test_usage_is_grouped_by_what_is_named(asked: Cli) -> None:
    key_id = asked.json("usage", "--by", "key")["groups"]["rows"][0]["api_key_id"]

    shown = asked.run("usage", "--by", "key,kind", "--since", "2d").stdout

    [row] = [line for line in shown.splitlines() if line.startswith(key_id)]
    assert "chat" in row
    assert "Total" not in shown


def test_usage_for_programs_is_one_document(asked: Cli) -> None:
    printed = asked.json("usage", "--by", "model,day")

    assert set(printed) == {"overview", "days", "groups"}
    [row] = printed["groups"]["rows"]
    assert (row["model"], row["calls"]) == ("extractive", "1")
    assert printed["days"]["total"]["input_tokens"] == row["input_tokens"]
    assert printed["overview"]["messages"] == "2"


def test_platform_sees_a_tenants_usage(asked: Cli, platform: Cli) -> None:
    slug = platform.json("tenant", "list")["tenants"][-1]["slug"]

    printed = platform.json("usage", "--tenant", slug)

    assert printed["groups"]["total"]["calls"] == "1"


def test_tenant_without_calls_is_told_so(tenant: Cli) -> None:
    result = tenant.run("usage")

    assert "No model was called" in result.stderr


def test_unknown_dimension_is_refused_with_the_known_ones(tenant: Cli) -> None:
    result = tenant.run("usage", "--by", "weather", code=2)

    assert "choose from day, model" in result.stderr
