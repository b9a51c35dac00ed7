"""Certificates for TLS on this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """One that signs certificates; `file` is its own."""

    directory: Path
    key: PrivateKey
    certificate: x509.Certificate
    file: Path

    def issue(self, name: str, host: str = "") -> tuple[Path, Path]:
        """Write a certificate of this authority, for 127.0.0.1 or for `host`; return its file and its
        key's."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(key, self.key, self.certificate.subject, is_authority=False, host=host)
        return _write(self.directory, name, certificate, key)


def make_authority(directory: Path, name: str = "authority") -> Authority:
    """Write the certificate of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"MiniRAG test {name}")])
    certificate = _sign(key, key, subject, is_authority=True)
    file, _ = _write(directory, name, certificate, key)
    return Authority(directory, key, certificate, file)


def make_certificate(directory: Path, name: str = "server") -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "MiniRAG test")])
    return _write(directory, name, _sign(key, key, subject, is_authority=True), key)


def lock_key(key_file: Path) -> Path:
    """Write the key once more, behind a password."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    locked = key_file.with_suffix(".locked")
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    return locked


def _sign(
    key: PrivateKey, by: PrivateKey, issuer: x509.Name, *, is_authority: bool, host: str = ""
) -> x509.Certificate:
    holder = x509.DNSName(host) if host else x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, "MiniRAG test")
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(issuer if is_authority else x509.Name([common_name]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([holder]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )


def _write(
    directory: Path, name: str, certificate: x509.Certificate, key: PrivateKey
) -> tuple[Path, Path]:
    certificate_file = directory / f"{name}.pem"
    key_file = directory / f"{name}.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
