"""docker-compose.yml says what operations rely on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from minirag.config import Settings
from minirag.migrations.run import OLDEST_SERVER
from minirag.server import CUT_OFF_SECONDS
from tests.unit.deployment.files import (
    ROOT,
    SECRETS,
    SETTINGS,
    load_compose,
    load_example,
    load_services,
    required_variables,
    substitute,
    variables,
)

SERVICES = load_services()
OURS = ("server", "worker", "migrate")
STORES = ("postgres", "redis", "qdrant")
SECRET_ENVIRONMENT = SECRETS | {"POSTGRES_PASSWORD", "REDISCLI_AUTH", "QDRANT__SERVICE__API_KEY"}
VALUES = {name: f"{number:032x}" for number, name in enumerate(sorted(required_variables()), 1)}


def environment(service: str) -> dict[str, str]:
    """What a container of the service gets from a `.env` with `VALUES`."""
    written: dict[str, str | None] = SERVICES[service].get("environment", {})
    return {name: substitute(text, VALUES) for name, text in written.items() if text is not None}


def seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)s", text)
    assert match, text
    return int(match[1])


def test_services_are_the_three_stores_and_our_three_processes() -> None:
    assert set(SERVICES) == {*OURS, *STORES}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_that_is_named_exists(service: str) -> None:
    named = {
        name for name in SERVICES[service].get("environment", {}) if name.startswith("MINIRAG_")
    }

    assert named <= SETTINGS


@pytest.mark.parametrize("service", OURS)
def test_the_settings_of_each_process_are_valid(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("MINIRAG_"):
            monkeypatch.delenv(name)
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.database_url is not None
    if service != "migrate":
        assert settings.redis_url is not None
        assert settings.qdrant_url is not None
        assert settings.blob_path is not None


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_come_from_the_environment_only(service: str) -> None:
    for name, text in SERVICES[service].get("environment", {}).items():
        if name in SECRET_ENVIRONMENT and text is not None:
            assert ":?" in text, f"{service}: {name}"
            literal = substitute(text, dict.fromkeys(VALUES, "?"))
            assert set(urlsplit(literal).password or "?") == {"?"}


def test_a_missing_secret_is_refused_by_name() -> None:
    for name in sorted(required_variables()):
        with pytest.raises(KeyError, match=name):
            substitute((ROOT / "docker-compose.yml").read_text(), VALUES | {name: ""})


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    example = load_example()
    passed_on = {
        name
        for service in OURS
        for name, text in SERVICES[service]["environment"].items()
        if text is None
    }

    assert set(example) == variables() | passed_on
    assert {name for name in example if name.startswith("MINIRAG_")} <= SETTINGS
    assert all(not example[name] for name in required_variables() | SECRETS & set(example))


def test_no_process_of_the_application_has_the_owners_credential() -> None:
    owner = urlsplit(environment("migrate")["MINIRAG_DATABASE_OWNER_URL"])
    for service in ("server", "worker"):
        given = environment(service)
        app = urlsplit(given["MINIRAG_DATABASE_URL"])

        assert app.username != owner.username
        assert app.password != owner.password
        assert "MINIRAG_DATABASE_OWNER_URL" not in given
        assert owner.password not in "".join(given.values())
        assert given["MINIRAG_DATABASE_URL"] == environment("migrate")["MINIRAG_DATABASE_URL"]
    assert owner.username == environment("postgres")["POSTGRES_USER"]
    assert owner.password == environment("postgres")["POSTGRES_PASSWORD"]


def test_only_the_server_has_the_platform_key() -> None:
    holders = {name for name in SERVICES if "MINIRAG_PLATFORM_KEY" in environment(name)}

    assert holders == {"server"}


def test_urls_name_services_and_their_own_passwords() -> None:
    for service in ("server", "worker"):
        given = environment(service)

        assert urlsplit(given["MINIRAG_DATABASE_URL"]).hostname == "postgres"
        redis = urlsplit(given["MINIRAG_REDIS_URL"])
        assert redis.hostname == "redis"
        assert redis.password == environment("redis")["REDISCLI_AUTH"]
        assert urlsplit(given["MINIRAG_QDRANT_URL"]).hostname == "qdrant"
        key = environment("qdrant")["QDRANT__SERVICE__API_KEY"]
        assert given["MINIRAG_QDRANT_API_KEY"] == key


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_to_a_version(service: str) -> None:
    assert re.search(r":v?\d+\.\d+", SERVICES[service]["image"])


def test_stores_are_new_enough() -> None:
    def version(service: str) -> tuple[int, ...]:
        match = re.search(r":v?(\d+)\.(\d+)", SERVICES[service]["image"])
        assert match
        return tuple(int(part) for part in match.groups())

    assert version("postgres") >= (max(18, OLDEST_SERVER // 10_000), 0)
    assert version("redis") >= (8, 0)
    assert version("qdrant") >= (1, 19)


@pytest.mark.parametrize("service", SERVICES)
def test_containers_are_confined(service: str) -> None:
    container = SERVICES[service]

    assert str(container["user"]).split(":")[0] not in {"", "0", "root"}
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]
    assert not container.get("privileged")
    assert container["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


@pytest.mark.parametrize("service", [*STORES, "server", "worker"])
def test_lasting_services_have_a_health_check_and_start_again(service: str) -> None:
    container = SERVICES[service]

    assert container["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert seconds(container["healthcheck"]["timeout"]) <= seconds(
        container["healthcheck"]["interval"]
    )
    assert container["restart"] == "unless-stopped"


def test_health_checks_need_no_further_program() -> None:
    assert SERVICES["server"]["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "minirag.healthcheck",
    ]
    assert SERVICES["worker"]["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "worker.healthcheck",
    ]


def test_server_and_worker_wait_for_healthy_stores_and_the_schema() -> None:
    for service in ("server", "worker"):
        assert SERVICES[service]["depends_on"] == {
            **{store: {"condition": "service_healthy"} for store in STORES},
            "migrate": {"condition": "service_completed_successfully"},
        }
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"


def test_the_worker_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_only_the_server_is_published_and_by_default_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"server"}
    assert [substitute(port, {}) for port in published["server"]] == ["127.0.0.1:50051:50051"]
    assert Settings.model_fields["port"].default == 50051


def test_server_and_worker_share_the_blobs() -> None:
    for service in ("server", "worker"):
        assert f"blobs:{environment(service)['MINIRAG_BLOB_PATH']}" in SERVICES[service]["volumes"]


def test_what_must_last_lies_in_named_volumes() -> None:
    declared = set(load_compose()["volumes"])
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }

    assert mounted == declared == {"postgres", "redis", "qdrant", "blobs"}


def test_a_drain_is_given_its_time() -> None:
    fields = Settings.model_fields
    drain = fields["drain_delay"].default + fields["shutdown_grace"].default + CUT_OFF_SECONDS
    for service in ("server", "worker"):
        assert seconds(SERVICES[service]["stop_grace_period"]) > drain
        assert SERVICES[service]["init"] is True
        assert "stop_signal" not in SERVICES[service]


def test_redis_forgets_nothing_and_asks_for_its_password() -> None:
    command = substitute(SERVICES["redis"]["command"][-1], {})

    assert "appendonly yes" in command
    assert "maxmemory-policy noeviction" in command
    assert '"$REDISCLI_AUTH"' in command


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("there is no docker client on this machine")
    found = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip("this docker client has no compose plugin")

    done: Any = subprocess.run(
        [docker, "compose", "config", "--quiet"],
        cwd=ROOT,
        env={**os.environ, **VALUES},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
