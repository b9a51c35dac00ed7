"""How the client commands encrypt: whom they trust, and with what they show who they are."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True, slots=True)
class Encryption:
    """TLS to a server. `certificate` and `key`, both or neither, are for a server with mutual TLS."""

    authority: Path | None = None
    """Whose certificates to trust; None for the well-known authorities."""
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def choose(
        cls,
        server: str,
        tls: bool | None,
        authority: Path | None,
        certificate: Path | None,
        key: Path | None,
    ) -> Self | None:
        """Return what the options mean; None is plain text. Raises `CliFailure` for half a pair."""
        if (certificate is None) != (key is None):
            missing = "--client-certificate" if certificate is None else "--client-key"
            raise CliFailure(
                f"{missing} is missing: a server with mutual TLS is shown the certificate and proved"
                " its key",
                ExitCode.USAGE,
            )
        if tls is None:
            tls = authority is not None or certificate is not None or not is_local(server)
        return cls(authority, certificate, key) if tls else None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises `CliFailure` when one can't be read."""
        import grpc  # 0.1 s that `--help` doesn't need

        try:
            return grpc.ssl_channel_credentials(
                root_certificates=_read(self.authority),
                private_key=_read(self.key),
                certificate_chain=_read(self.certificate),
            )
        except OSError as error:
            raise CliFailure(
                f"can't read {error.filename}: {error.strerror}", ExitCode.USAGE
            ) from None


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def is_local(server: str) -> bool:
    """True for an address that only this machine can reach, where plain text is safe."""
    if server.startswith(("unix:", "unix-abstract:")):
        return True
    host = (
        server.rpartition(":")[0].strip("[]")
        if server.count(":") in {1} or "]" in server
        else server
    )
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
