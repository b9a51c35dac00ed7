"""`minirag limits`."""

from __future__ import annotations

from uuid import uuid4

from tests.integration.cli.conftest import Cli


def test_limits_are_set_shown_and_lifted(platform: Cli) -> None:
    slug = f"t-{uuid4().hex[:10]}"
    key = platform.json("tenant", "create", slug)["secret"]
    tenant = Cli({**platform.environment, "MINIRAG_API_KEY": key})

    platform.run("limits", "set", slug, "--documents", "1_000", "--usd-per-month", "2.5")
    changed = platform.json("limits", "set", slug, "--documents", "none", "--chunks", "0")
    shown = tenant.run("limits", "show").stdout
    by_platform = platform.json("limits", "show", "--tenant", slug)

    assert changed["limits"] == {"chunks": "0", "cost_usd_per_month": 2.5}
    assert by_platform["limits"] == changed["limits"]
    lines = {line.split("  ")[0].strip(): line.split()[-1] for line in shown.splitlines()}
    assert (lines["Chunks"], lines["US dollars a month"], lines["Documents"]) == (
        "0",
        "2.5",
        "none",
    )


def test_limit_that_is_no_number_is_told(platform: Cli) -> None:
    result = platform.run("limits", "set", "any", "--documents", "many", code=2)

    assert "'many' isn't a limit" in result.stderr


def test_setting_without_a_limit_says_what_to_write(platform: Cli) -> None:
    result = platform.run("limits", "set", "any", code=2)

    assert "no limit is named" in result.stderr
