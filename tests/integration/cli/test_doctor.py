"""`minirag doctor` on this machine, and on servers that the settings name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mock_provider import MockProvider
from tests.support.node import NodeProcess, model_settings
from tests.support.programs import run_minirag
from tests.support.servers import open_directory

SECRET = "doctors-secret-password"


def run_doctor(
    directory: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return run_minirag(directory, "doctor", *arguments, environment=environment)


def checks(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_machine_that_has_everything_is_well() -> None:
    with open_directory() as directory:
        result = run_doctor(directory, "--data-dir", str(directory / "data"), MINIRAG_PORT="0")

        assert not (directory / "data").exists()
    assert result.returncode == 0, result.stdout
    assert "All is well." in result.stdout
    assert "Postgres binary: postgres (PostgreSQL)" in result.stdout


def test_running_node_is_found(cli_node: NodeProcess) -> None:
    result = run_doctor(
        cli_node.program.directory, "--data-dir", str(cli_node.data), "--json", MINIRAG_PORT="0"
    )

    assert f"process {cli_node.program.process.pid}" in checks(result)["Node"]["detail"]


def test_misspelt_setting_is_a_problem(tmp_path: Path) -> None:
    result = run_doctor(tmp_path, "--json", MINIRAG_PROT="1", MINIRAG_PORT="0")

    assert result.returncode == 1
    assert checks(result)["MINIRAG_PROT"]["advice"] == "did you mean MINIRAG_PORT?"


def test_wrong_setting_is_named(tmp_path: Path) -> None:
    result = run_doctor(tmp_path, "--json", MINIRAG_PORT="abc")

    assert result.returncode == 1
    assert not checks(result)["MINIRAG_PORT"]["ok"]


def test_servers_that_are_away_are_each_told_without_their_passwords(tmp_path: Path) -> None:
    result = run_doctor(
        tmp_path,
        "--json",
        MINIRAG_DATABASE_URL=f"postgresql://app:{SECRET}@127.0.0.1:1/minirag",
        MINIRAG_REDIS_URL=f"redis://:{SECRET}@127.0.0.1:1/0",
        MINIRAG_QDRANT_URL="http://127.0.0.1:1",
        MINIRAG_BLOB_PATH=str(tmp_path / "blobs"),
    )

    found = {name: check["ok"] for name, check in checks(result).items()}
    assert (result.returncode, result.stderr) == (1, "")
    assert [found[name] for name in ("Postgres", "Redis", "Vectors", "Blobs")] == [
        False,
        False,
        False,
        True,
    ]
    assert SECRET not in result.stdout


def test_servers_that_answer_are_well(cli_node: NodeProcess, tmp_path: Path) -> None:
    result = run_doctor(
        tmp_path,
        "--json",
        MINIRAG_DATABASE_URL=cli_node.database_url,
        MINIRAG_REDIS_URL=cli_node.redis_url,
        MINIRAG_EDGE_PATH=str(tmp_path / "vectors"),
        MINIRAG_BLOB_PATH=str(tmp_path / "blobs"),
    )

    assert result.returncode == 0, result.stdout
    assert {"Postgres", "Redis", "Vectors", "Blobs"} <= set(checks(result))


def test_missing_setting_of_a_server_is_named(tmp_path: Path) -> None:
    result = run_doctor(
        tmp_path, "--json", MINIRAG_DATABASE_URL="postgresql://app@127.0.0.1:1/minirag"
    )

    assert not checks(result)["MINIRAG_QDRANT_URL"]["ok"]


def test_models_are_called_only_when_asked(mock_provider: MockProvider, tmp_path: Path) -> None:
    settings = model_settings(mock_provider.url) | {"MINIRAG_PORT": "0"}

    untouched = checks(run_doctor(tmp_path, "--json", **settings))
    probed = checks(run_doctor(tmp_path, "--json", "--probe-models", **settings))

    assert "not called" in untouched["Chat model"]["detail"]
    assert probed["Chat model"]["detail"] == "openai/mock-chat answers"
    assert probed["Embedding model"]["detail"] == "openai/mock-embed answers"


@pytest.mark.long
def test_model_that_the_provider_refuses_is_a_problem(
    mock_provider: MockProvider, tmp_path: Path
) -> None:
    settings = model_settings(mock_provider.url, chat="openai/mock-chat.status-401")

    result = run_doctor(tmp_path, "--json", "--probe-models", MINIRAG_PORT="0", **settings)

    assert result.returncode == 1
    assert not checks(result)["Chat model"]["ok"]
    assert settings["MINIRAG_MODEL_API_KEY"] not in result.stdout
