"""`python -m minirag.healthcheck [SERVICE]`: exit code 0 while the server of this machine is SERVING.

It asks by gRPC, at the port and with the encryption that the settings name; `SERVICE` is a full name as in
`minirag.v1.ChatService`, and without one the server as a whole is meant. For images and probes that bring
no other client.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from minirag.api.listening import format_address
from minirag.config import Settings, SettingsError, load_settings

TIMEOUT = 3.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not listened on


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 SERVING, 1 not, 2 for a wrong setting; told in one line on standard error."""
    service = arguments[0] if arguments else ""
    try:
        settings = load_settings()
        state = ask(settings, service)
    except SettingsError as error:
        sys.stderr.write(f"healthcheck: {error}\n")
        return 2
    except grpc.RpcError as error:
        sys.stderr.write(f"healthcheck: {_describe(error)}\n")
        return 1
    if state != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(state)
        sys.stderr.write(f"healthcheck: {service or 'the server'} is {name}\n")
        return 1
    return 0


def ask(settings: Settings, service: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    """Return the state of a service. Raises `grpc.RpcError`, and `SettingsError` for a bad certificate."""
    with open_channel(settings) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        return stub.Check(request, timeout=TIMEOUT).status


def open_channel(settings: Settings) -> grpc.Channel:
    """Return a channel to this machine's server. Of an encrypted one, exactly its certificate is trusted.

    One with mutual TLS is shown the settings' client certificate.
    """
    address = format_address(_EVERY_ADDRESS.get(settings.host, settings.host), settings.port)
    # A proxy of the environment is for calls to elsewhere.
    options = [("grpc.enable_http_proxy", 0)]
    if settings.tls_certificate_file is None:
        return grpc.insecure_channel(address, options)
    if (settings.client_certificate_file is None) != (settings.client_key_file is None):
        missing = "CERTIFICATE" if settings.client_certificate_file is None else "KEY"
        raise SettingsError(f"MINIRAG_CLIENT_{missing}_FILE: is missing: it takes both or none")
    certificate, name = _read_certificate(settings.tls_certificate_file)
    return grpc.secure_channel(
        address,
        grpc.ssl_channel_credentials(
            root_certificates=certificate,
            private_key=_read("CLIENT_KEY", settings.client_key_file),
            certificate_chain=_read("CLIENT_CERTIFICATE", settings.client_certificate_file),
        ),
        [*options, ("grpc.ssl_target_name_override", name)],
    )


def _read(name: str, path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise SettingsError(f"MINIRAG_{name}_FILE: {error.strerror}: {path}") from None


def _read_certificate(path: Path) -> tuple[bytes, str]:
    """Return the PEM chain and a name that it is good for."""
    try:
        pem = path.read_bytes()
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except OSError as error:
        raise SettingsError(f"MINIRAG_TLS_CERTIFICATE_FILE: {error.strerror}: {path}") from None
    except (ValueError, x509.ExtensionNotFound):
        raise SettingsError(
            f"MINIRAG_TLS_CERTIFICATE_FILE: {path} isn't a PEM certificate with a subject alternative name"
        ) from None
    hosts = names.value.get_values_for_type(x509.DNSName)
    addresses = [str(each) for each in names.value.get_values_for_type(x509.IPAddress)]
    # A wildcard stands for any one label.
    found = [host.replace("*", "any", 1) for host in hosts] + addresses
    if not found:
        raise SettingsError(
            f"MINIRAG_TLS_CERTIFICATE_FILE: {path} names neither a host nor an address"
        )
    return pem, found[0]


def _describe(error: grpc.RpcError) -> str:
    call: Any = error  # every error of a call is a `grpc.Call` too, which the stubs call impossible
    return f"{call.code().name}: {call.details()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
