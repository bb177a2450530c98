"""Certificates of the embedded relay: an authority of its own and a certificate for localhost.

Promises: P-256, valid for 30 days, made anew when fewer than 7 are left; the key's file is readable
by its owner only. The authority's own key is never written: it signs one certificate and is gone,
so that trusting it trusts nothing else. Not for a relay on another machine.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)
RENEW = timedelta(days=7)
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True)
class Certificates:
    """Files of a relay: whom to trust, what to show, and its key (mode 0600)."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def within(cls, directory: Path) -> Certificates:
        """Where they lie below `directory`, whether they exist or not."""
        return cls(directory / "ca.pem", directory / "relay.pem", directory / "relay.key")


def ensure_certificates(directory: Path) -> Certificates:
    """The relay's files, made on first use and again when less than `RENEW` is left."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = Certificates.within(directory)
    now = datetime.now(UTC)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once must not mix their files
        if not files.cert.exists() or _ends(files.cert) - now < RENEW:
            issue(files, names=LOCAL_NAMES, begins=now - _CLOCKS_DIFFER, ends=now + VALID)
    return files


def issue(files: Certificates, *, names: tuple[str, ...], begins: datetime, ends: datetime) -> None:
    """Write a new authority, and a certificate for `names` under it; the certificate last."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reengage embedded authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    ca = (
        builder(authority, authority, authority_key.public_key(), begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage("key_cert_sign"), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    cert = (
        builder(subject, authority, key.public_key(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(files.ca, ca.public_bytes(serialization.Encoding.PEM))
    write_private(files.key, private)
    write_private(files.cert, cert.public_bytes(serialization.Encoding.PEM))


# Python 3.13 verifies strictly: an authority has to say what its key is for (RFC 5280 4.2.1.3).
def key_usage(*uses: str) -> x509.KeyUsage:
    """What a key is for: these of RFC 5280 section 4.2.1.3 and nothing else."""
    return x509.KeyUsage(**{use: use in uses for use in _USES})


_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    """What every certificate of the embedded default has."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(identifier, critical=False)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _ends(path: Path) -> datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for an instant."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
