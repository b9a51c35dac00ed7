"""The probe of the image asks a real health service, with and without TLS."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from minirag.healthcheck import main
from tests.unit.deployment.files import load_services

CHAT = "minirag.v1.ChatService"
State = health_pb2.HealthCheckResponse


@pytest.fixture(autouse=True)
def _no_settings_of_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def serving(
    states: dict[str, int], credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """A health service on a free port of this machine."""
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    for name, state in states.items():
        servicer.set(name, state)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def make_certificate(directory: Path, *names: x509.GeneralName) -> grpc.ServerCredentials:
    """Write a self-signed `cert.pem` for the names, and return what a server needs of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "cert.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return grpc.ssl_server_credentials([(private, pem)])


def test_serving_is_0_and_anything_else_1_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"": State.SERVING, CHAT: State.NOT_SERVING}) as port:
        monkeypatch.setenv("MINIRAG_PORT", str(port))

        assert main([]) == 0
        assert main([CHAT]) == 1
        assert capsys.readouterr().err == f"healthcheck: {CHAT} is NOT_SERVING\n"
        assert main(["no.such.Service"]) == 1
        assert "NOT_FOUND" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"": State.SERVING}) as port:
        monkeypatch.setenv("MINIRAG_PORT", str(port))

    assert main([]) == 1
    assert capsys.readouterr().err.startswith("healthcheck: UNAVAILABLE")


def test_a_server_on_every_address_is_asked_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving({"": State.SERVING}) as port:
        monkeypatch.setenv("MINIRAG_PORT", str(port))
        monkeypatch.setenv("MINIRAG_HOST", "0.0.0.0")

        assert main([]) == 0


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("chat.example"),
        x509.DNSName("*.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
    ],
)
def test_tls_is_asked_under_a_name_of_the_certificate(
    name: x509.GeneralName, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = make_certificate(tmp_path, name)
    with serving({"": State.SERVING}, credentials) as port:
        monkeypatch.setenv("MINIRAG_PORT", str(port))
        monkeypatch.setenv("MINIRAG_TLS_CERTIFICATE_FILE", str(tmp_path / "cert.pem"))

        assert main([]) == 0


def test_another_servers_certificate_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = make_certificate(tmp_path, x509.DNSName("chat.example"))
    make_certificate(tmp_path, x509.DNSName("chat.example"))
    with serving({"": State.SERVING}, credentials) as port:
        monkeypatch.setenv("MINIRAG_PORT", str(port))
        monkeypatch.setenv("MINIRAG_TLS_CERTIFICATE_FILE", str(tmp_path / "cert.pem"))

        assert main([]) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_used_is_2(
    content: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("MINIRAG_TLS_CERTIFICATE_FILE", str(path))

    assert main([]) == 2
    assert "MINIRAG_TLS_CERTIFICATE_FILE" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_check_of_the_qdrant_container_reads_the_status(status: int, code: int) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    check = load_services()["qdrant"]["healthcheck"]["test"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        command = [part.replace("/6333", f"/{server.server_port}") for part in check[1:]]

        done = subprocess.run(command, check=False, timeout=20)

        server.shutdown()
        thread.join()
    assert done.returncode == code
