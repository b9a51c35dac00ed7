"""Where the server listens, and with which encryption."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

import grpc.aio

from minirag.api.tls_files import find_tls_files
from minirag.config import Settings, SettingsError


def bind(server: grpc.aio.Server, settings: Settings) -> tuple[str, int]:
    """Bind the server to the settings' address; return it as `host:port`, and the port.

    Raises `SettingsError`, one line that names the setting to change.
    """
    files = find_tls_files(settings)
    credentials = None if files is None else files.credentials()
    if credentials is None and not settings.allow_plaintext and not is_loopback(settings.host):
        raise SettingsError(
            f"MINIRAG_HOST: {settings.host} can be reached from elsewhere, where keys must not travel"
            " in plain text: set MINIRAG_TLS_CERTIFICATE_FILE and MINIRAG_TLS_KEY_FILE, or"
            " MINIRAG_ALLOW_PLAINTEXT=true behind a proxy that encrypts"
        )
    # gRPC doesn't tell why it can't listen, and writes lines of its own to standard error.
    if obstacle := _find_obstacle(settings):
        raise SettingsError(obstacle)
    wanted = format_address(settings.host, settings.port)
    try:
        if credentials is None:
            port = server.add_insecure_port(wanted)
        else:
            port = server.add_secure_port(wanted, credentials)
    except RuntimeError:
        raise SettingsError(f"MINIRAG_PORT: can't listen on {wanted}") from None
    return format_address(settings.host, port), port


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def format_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _find_obstacle(settings: Settings) -> str | None:
    """Say why none of the host's addresses can be listened on, or None: a plain socket tells."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):
        return f"MINIRAG_HOST: {settings.host} isn't a known host name or address"
    obstacle = None
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            obstacle = obstacle or _describe(settings, error)
        else:
            return None
    return obstacle


def _describe(settings: Settings, error: OSError) -> str:
    where = format_address(settings.host, settings.port)
    if error.errno == errno.EADDRINUSE:
        return f"MINIRAG_PORT: {where} is in use: stop the other server, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"MINIRAG_HOST: {settings.host} isn't an address of this machine"
    return f"MINIRAG_PORT: can't listen on {where}: {os.strerror(error.errno or 0)}"
