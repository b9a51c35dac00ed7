"""Checks of variables, addresses and TLS files."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from minirag.cli.doctor_checks import check_listening, check_node, check_variables
from minirag.config import Settings, load_settings
from minirag.embedded.layout import DataDirectory


def settings(**given: object) -> Settings:
    return load_settings(_env_file=None, **given)


def write_pair(directory: Path, *, days: int = 90) -> dict[str, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    paths = {
        "tls_certificate_file": directory / "certificate.pem",
        "tls_key_file": directory / "key.pem",
    }
    paths["tls_certificate_file"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths["tls_key_file"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_misspelt_variable_is_told_with_the_nearest_setting(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("MINIRAG_REDIS_ULR=redis://x\nOTHER=1\n")

    checks = check_variables({"MINIRAG_CHAT_MODLE": "x", "PATH": "/"}, env_file)

    assert [(check.name, check.is_ok, check.advice) for check in checks] == [
        ("MINIRAG_CHAT_MODLE", False, "did you mean MINIRAG_CHAT_MODEL?"),
        ("MINIRAG_REDIS_ULR", False, "did you mean MINIRAG_REDIS_URL?"),
    ]


def test_settings_and_variables_of_clients_and_tests_are_known(tmp_path: Path) -> None:
    names = ["PORT", "SERVER", "API_KEY", "TLS_CA", "PLATFORM_KEY", "TEST_QDRANT_URL"]

    checks = check_variables({f"MINIRAG_{name}": "x" for name in names}, tmp_path / ".env")

    assert [check.is_ok for check in checks] == [True]


def test_reachable_address_without_encryption_is_told() -> None:
    [check] = check_listening(settings(host="0.0.0.0"))

    assert not check.is_ok
    assert "MINIRAG_TLS_CERTIFICATE_FILE" in check.advice
    assert check_listening(settings(host="0.0.0.0", allow_plaintext=True)) == []


def test_good_certificate_is_told_with_its_end(tmp_path: Path) -> None:
    [check] = check_listening(settings(**write_pair(tmp_path)))

    assert check.is_ok
    assert "is good until" in check.detail


@pytest.mark.parametrize(("days", "told"), [(-1, "has expired"), (5, "expires on")])
def test_certificate_that_ends_is_told(tmp_path: Path, days: int, told: str) -> None:
    [check] = check_listening(settings(**write_pair(tmp_path, days=days)))

    assert not check.is_ok
    assert told in check.detail


def test_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    pair = write_pair(tmp_path) | {"tls_key_file": write_pair(tmp_path / "other")["tls_key_file"]}

    [check] = check_listening(settings(**pair))

    assert not check.is_ok
    assert "don't work together" in check.detail


def test_one_tls_file_alone_is_told(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    del pair["tls_key_file"]

    [check] = check_listening(settings(**pair))

    assert check.detail == "MINIRAG_TLS_KEY_FILE is missing"


def test_port_of_another_program_is_a_problem(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        node, port = check_node(tmp_path, settings(port=other.getsockname()[1]))

    assert node.is_ok
    assert not port.is_ok
    assert "--port" in port.advice


def test_running_node_is_told_and_its_port_is_no_problem(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path).lock(),
        socket.create_server(("127.0.0.1", 0)) as own,
    ):
        node, port = check_node(tmp_path, settings(port=own.getsockname()[1]))

    assert "a node runs" in node.detail
    assert port.is_ok


def test_an_authority_of_clients_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    absent = tmp_path / "clients.pem"

    [check] = check_listening(settings(**write_pair(tmp_path), tls_client_ca_file=absent))

    assert not check.is_ok
    assert str(absent) in check.detail
