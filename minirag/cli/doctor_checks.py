"""Checks of what this process can see by itself: variables, address, TLS files, a running node."""

from __future__ import annotations

import difflib
import fcntl
import os
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from minirag.api.listening import format_address, is_loopback
from minirag.config import Settings
from minirag.embedded.available import Check
from minirag.embedded.layout import DataDirectory

CLIENT_VARIABLES = ("MINIRAG_SERVER", "MINIRAG_API_KEY", "MINIRAG_TLS_CA")
_PREFIX = "MINIRAG_"
_TEST_PREFIX = "MINIRAG_TEST_"
EXPIRES_SOON = timedelta(days=14)


def check_variables(environment: Mapping[str, str], env_file: Path = Path(".env")) -> list[Check]:
    """Find `MINIRAG_*` names that mean nothing, in the environment and the `.env` file."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | {*CLIENT_VARIABLES}
    names = [(name, "the environment") for name in environment]
    names += [(name, str(env_file)) for name in _names_in(env_file)]
    checks = []
    for name, where in sorted(names):
        if not name.startswith(_PREFIX) or name in known or name.startswith(_TEST_PREFIX):
            continue
        nearest = difflib.get_close_matches(name, sorted(known), n=1)
        advice = f"did you mean {nearest[0]}?" if nearest else "remove it"
        checks.append(Check(name, False, f"is set in {where} and isn't a setting", advice))
    return checks or [Check("Variables", True, "every MINIRAG_* variable that is set is a setting")]


def check_listening(settings: Settings) -> list[Check]:
    """Check the TLS files, and that an address that others reach is encrypted."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    authority = settings.tls_client_ca_file
    if authority is not None and not os.access(authority, os.R_OK):
        advice = "correct MINIRAG_TLS_CLIENT_CA_FILE, or the rights of the file"
        return [Check("TLS", False, f"{authority} can't be read", advice)]
    if certificate is None and key is None:
        if is_loopback(settings.host) or settings.allow_plaintext:
            return []
        return [
            Check(
                "TLS",
                False,
                f"{settings.host} can be reached from elsewhere, and no certificate is set",
                "set MINIRAG_TLS_CERTIFICATE_FILE and MINIRAG_TLS_KEY_FILE, or"
                " MINIRAG_ALLOW_PLAINTEXT=true behind a proxy that encrypts",
            )
        ]
    if certificate is None or key is None:
        missing = "CERTIFICATE" if certificate is None else "KEY"
        name = f"MINIRAG_TLS_{missing}_FILE"
        return [Check("TLS", False, f"{name} is missing", "set it: TLS needs both files")]
    return [_check_pair(certificate, key)]


def check_node(data: Path, settings: Settings) -> list[Check]:
    """Tell whether a node runs on the data, and whether the port is free for one."""
    pid = _running_node(DataDirectory(data))
    where = format_address(settings.host, settings.port)
    is_used = _is_in_use(settings.host, settings.port)
    if pid is not None:
        node = Check("Node", True, f"a node runs on {data} (process {pid})")
        if is_used:
            return [node, Check("Port", True, f"{where} is in use, by this node most likely")]
        return [node]
    node = Check("Node", True, f"no node runs on {data}; `minirag up` starts one")
    if is_used:
        return [
            node,
            Check(
                "Port",
                False,
                f"another program listens on {where}",
                "stop it, or choose another port with --port or MINIRAG_PORT",
            ),
        ]
    return [node, Check("Port", True, f"{where} is free")]


def _check_pair(certificate: Path, key: Path) -> Check:
    from cryptography import x509  # only where TLS is used

    for path in (certificate, key):
        if not os.access(path, os.R_OK):
            return Check("TLS", False, f"{path} can't be read", "check its path and its rights")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (ssl.SSLError, ValueError) as error:
        return Check(
            "TLS", False, f"{certificate} and {key} don't work together ({error})",
            "name a PEM certificate chain and the private key that belongs to it",
        )  # fmt: skip
    left = end - datetime.now(UTC)
    if left < EXPIRES_SOON:
        state = "has expired" if left < timedelta() else f"expires on {end:%Y-%m-%d}"
        return Check(
            "TLS", False, f"{certificate} {state}", "renew it: the server reads it anew by itself"
        )
    return Check("TLS", True, f"{certificate} is good until {end:%Y-%m-%d}")


def _names_in(env_file: Path) -> list[str]:
    from dotenv import dotenv_values  # what the settings are read with

    return [name.upper() for name in dotenv_values(env_file)] if env_file.is_file() else []


def _running_node(directory: DataDirectory) -> int | None:
    """Return the process that holds the directory's lock; None where none does. Changes nothing."""
    try:
        descriptor = os.open(directory.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _is_in_use(host: str, port: int) -> bool:
    if port == 0:
        return False
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError:
        return True
    return False
