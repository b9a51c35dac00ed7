"""`minirag collection reembed`, `switch` and `discard`, against a node whose operator offers other models."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.conftest import OFFERED, OFFERED_AND_REFUSED
from tests.integration.cli.conftest import Cli
from tests.support.node import NodeProcess

USUAL = "openai/mock-embed"
TEXTS = {
    "alpacas.md": "# Alpacas\n\nThe wool of an alpaca is sheared once a year.",
    "volcanoes.md": "# Volcanoes\n\nA volcano erupts when magma rises to the surface.",
}


@pytest.fixture
def tenant(node: NodeProcess) -> Cli:
    """With the key of a tenant of its own, which has a collection `notes`."""
    cli = Cli({"MINIRAG_SERVER": node.address, "MINIRAG_PLATFORM_KEY": node.platform_key})
    made = cli.json("tenant", "create", f"t-{uuid4().hex[:10]}")
    tenant = Cli({**cli.environment, "MINIRAG_API_KEY": made["secret"]})
    tenant.run("collection", "create", "notes")
    return tenant


@pytest.fixture
def stocked(tenant: Cli, tmp_path: Path) -> Cli:
    """As `tenant`, with two documents."""
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    tenant.run("upload", tmp_path, "--collection", "notes")
    return tenant


def test_collection_goes_over_to_another_model_back_and_lets_go_of_it(stocked: Cli) -> None:
    queries = ("--query", "alpaca wool", "--query", "magma")

    told = stocked.run("collection", "reembed", "notes", "--model", OFFERED, *queries).stdout
    beside = stocked.run("collection", "list").stdout
    over = stocked.run("collection", "switch", "notes").stdout
    back = stocked.run("collection", "switch", "notes").stdout
    refused = stocked.run("collection", "discard", "notes", code=2).stderr
    gone = stocked.run("collection", "discard", "notes", "--yes").stdout
    alone = stocked.run("collection", "list").stdout

    assert ": succeeded, 2 of 2" in told
    assert f"From {USUAL} to {OFFERED}, by 2 sample queries" in told
    assert "minirag collection switch notes" in told
    assert [OFFERED in beside, "on its way" in beside] == [True, False]
    assert f"searched by {OFFERED} now; {USUAL} stands beside" in over
    assert f"searched by {USUAL} now; {OFFERED} stands beside" in back
    assert "--yes" in refused
    assert ["vectors", "points", "2", "0"] in [line.split() for line in gone.splitlines()]
    assert OFFERED not in alone
    shown = stocked.run("operation", "list").stdout
    assert "reembed collection" in shown
    assert "discard embeddings" in shown
    operation_id = told.split(":")[0]
    assert told.startswith(stocked.run("operation", "show", operation_id).stdout)


def test_programs_wait_for_the_comparison_of_each_query(stocked: Cli) -> None:
    asked = ("--model", "", "--query", "alpaca wool", "--switch")
    begun = stocked.json("collection", "reembed", "notes", *asked, "--no-wait")["operation"]

    ended = stocked.json("operation", "wait", begun["id"])["operation"]

    (listed,) = stocked.json("collection", "list")["collections"]
    assert begun["state"] == "OPERATION_STATE_PENDING"
    assert ended["type"] == "OPERATION_TYPE_REEMBED_COLLECTION"
    assert ended["comparison"]["former_model"] == USUAL
    assert "new_model" not in ended["comparison"]  # words alone
    (query,) = ended["comparison"]["queries"]
    assert query["query"] == "alpaca wool"
    assert query["former_chunk_ids"][0] == query["new_chunk_ids"][0]
    assert "embedding_model" not in listed
    assert listed["standby"] == {
        "embedding_model": USUAL,
        "is_complete": True,
        "operation_id": begun["id"],
    }


def test_refusal_of_the_provider_is_the_commands_failure(stocked: Cli) -> None:
    failed = stocked.run("collection", "reembed", "notes", "--model", OFFERED_AND_REFUSED, code=1)

    (listed,) = stocked.json("collection", "list")["collections"]
    assert ": failed" in failed.stdout
    assert "refused" in failed.stderr
    assert listed["embedding_model"] == USUAL
    assert "standby" not in listed


def test_what_cannot_be_is_refused_at_once(tenant: Cli) -> None:
    unoffered = tenant.run("collection", "reembed", "notes", "--model", "openai/other", code=4)
    unbuilt = tenant.run("collection", "switch", "notes", code=5)

    assert "MINIRAG_OFFERED_EMBEDDING_MODELS" in unoffered.stderr
    assert "ReembedCollection" in unbuilt.stderr
