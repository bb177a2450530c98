"""Certificates that a relay ought not to show, and the one it ought to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from reengage.embedded.certificates import LOCAL_NAMES, Certificates, issue

# The verification asks the machine's clock, so these are relative to it, by a day and a half.
_NOW = datetime.now(UTC)
_YESTERDAY, _TOMORROW = _NOW - timedelta(days=1), _NOW + timedelta(days=1)


def good(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _YESTERDAY, _TOMORROW)


def expired(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _YESTERDAY - timedelta(days=30), _YESTERDAY)


def not_yet_valid(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _TOMORROW, _TOMORROW + timedelta(days=30))


def wrong_name(directory: Path) -> Certificates:
    return _issued(directory, ("relay.example.org",), _YESTERDAY, _TOMORROW)


def unknown_authority(directory: Path) -> Certificates:
    """Shown by the relay: a certificate of one authority. Trusted by the client: another."""
    shown = _issued(directory / "shown", LOCAL_NAMES, _YESTERDAY, _TOMORROW)
    trusted = _issued(directory / "trusted", LOCAL_NAMES, _YESTERDAY, _TOMORROW)
    return Certificates(ca=trusted.ca, cert=shown.cert, key=shown.key)


def self_signed(directory: Path) -> Certificates:
    """The relay's certificate is signed by its own key; the client trusts another authority."""
    files = good(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_YESTERDAY)
        .not_valid_after(_TOMORROW)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def _issued(
    directory: Path, names: tuple[str, ...], begins: datetime, ends: datetime
) -> Certificates:
    directory.mkdir(parents=True, exist_ok=True)
    files = Certificates.within(directory)
    issue(files, names=names, begins=begins, ends=ends)
    return files
