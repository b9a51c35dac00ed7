"""The server's certificates: read from files, and read again when these change."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from minirag.config import Settings, SettingsError

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    configuration: grpc.ServerCertificateConfiguration
    expires: datetime


class TlsFiles:
    """Certificate and key, and for mutual TLS the authority that clients' certificates must come from.

    Whether the files changed is asked at each handshake, so that a renewed certificate is in use from the
    next connection on. New files that can't be used are told in the log, and the old ones stay.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._stamp: Stamp | None = None
        # gRPC asks from threads of its own.
        self._lock = threading.Lock()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files. Raises `SettingsError`, one line, if there are none."""
        self._stamp = self._read_stamp()
        loaded = self._load()
        self._tell(loaded)
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            loaded.configuration,
            self.fetch,  # type: ignore[arg-type]  # the stub forgets that None means no change
            require_client_authentication=self._client_ca is not None,
        )
        return credentials

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to use from now on, or None to go on with what there is. Never raises."""
        with self._lock:
            try:
                stamp = self._read_stamp()
                if stamp == self._stamp:
                    return None
                # Noted before it is known whether they fit, so that files are told of only once.
                self._stamp = stamp
                loaded = self._load()
            except SettingsError as error:
                log.warning("tls_files_unusable", error=str(error), kept="the certificates before")
                return None
            except Exception:  # it is called from C, where an exception is lost
                log.exception("tls_files_unusable", kept="the certificates before")
                return None
            self._tell(loaded)
            return loaded.configuration

    def _tell(self, loaded: _Loaded) -> None:
        log.info(
            "tls_files_loaded",
            expires=loaded.expires.isoformat(),
            mutual=self._client_ca is not None,
        )

    def _read_stamp(self) -> Stamp:
        """What tells a file from what was there before: when it was written, its size, its inode."""
        found = []
        for path in (self._certificate, self._key, self._client_ca):
            try:
                status = path.stat() if path is not None else None
            except OSError:  # told when it is read
                status = None
            found.append(
                (0, 0, 0) if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
            )
        return tuple(found)

    def _load(self) -> _Loaded:
        key = _read("TLS_KEY", self._key)
        chain = _read("TLS_CERTIFICATE", self._certificate)
        expires = _check_pair(chain, key)
        authority = None
        if self._client_ca is not None:
            authority = _read("TLS_CLIENT_CA", self._client_ca)
            _check_authority(authority, self._client_ca)
        return _Loaded(
            grpc.ssl_server_certificate_configuration([(key, chain)], authority), expires
        )


def find_tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files that the settings name; None for plaintext.

    Raises `SettingsError` when one is named without those that it needs.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    authority = settings.tls_client_ca_file
    if certificate is None and key is None:
        if authority is not None:
            raise SettingsError(
                "MINIRAG_TLS_CERTIFICATE_FILE: is missing: MINIRAG_TLS_CLIENT_CA_FILE asks for mutual"
                " TLS, which needs the server's own certificate and key"
            )
        return None
    if certificate is None or key is None:
        missing = "CERTIFICATE" if certificate is None else "KEY"
        raise SettingsError(
            f"MINIRAG_TLS_{missing}_FILE: is missing: TLS needs the certificate and its key"
        )
    return TlsFiles(certificate, key, authority)


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"MINIRAG_{name}_FILE: {error.strerror}: {path}") from None


def _check_pair(chain: bytes, key: bytes) -> datetime:
    """Return when the certificate ends.

    What was read is checked, not the files once more: they may be written to at this very moment.
    """
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
        private = load_pem_private_key(key, password=None)
        fits = private.public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key needs a password
        fits = False
    if not fits:
        raise SettingsError(
            "MINIRAG_TLS_CERTIFICATE_FILE: the certificate and its key can't be used together: both"
            " must be PEM, without a password, and belong to each other"
        ) from None
    return certificate.not_valid_after_utc


def _check_authority(authority: bytes, path: Path) -> None:
    try:
        x509.load_pem_x509_certificates(authority)
    except ValueError:
        raise SettingsError(
            f"MINIRAG_TLS_CLIENT_CA_FILE: {path} holds no PEM certificate: name the file of the"
            " authority that signs the clients' certificates"
        ) from None
