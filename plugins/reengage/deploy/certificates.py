"""Certificates of the stack: one authority for all services, whose own key is never written.

`ensure` gives each service a certificate for its name under one authority, all made at once; the
authority's key signs them and is gone, so that trusting it trusts nothing else. Made again, all of
them, when one is missing or over, or, if it is told to renew, less than `RENEW` is left. P-256,
valid for `VALID`. Keys are 0600, or 0640 where another user's process reads them by its group 0.
Clients trust `ca/ca.pem`, which they read at each connection; `ca/bundle.pem` has the system's,
too.

An authority that is still valid stays in both beside the new one, the newest first: a service that
runs shows its old certificate until it is started anew, and is believed meanwhile (ADR 0057).
Whoever removes `ca/ca.pem` trusts none of before: that is for a key that was exposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reengage.authorities import read_authorities
from reengage.embedded.certificates import builder, key_usage, write_private
from reengage.errors import ConfigurationError

VALID = timedelta(days=397)
RENEW = timedelta(days=31)
"""A day more than the warning of `remind`: whoever is warned can act at once."""
_CLOCKS_DIFFER = timedelta(hours=1)
_KEYSTORE_PASSWORD = b"changeit"


@dataclass(frozen=True)
class Service:
    """A service that shows a certificate: for which names, and who else reads its key."""

    names: tuple[str, ...]
    group_reads: bool = False
    """Its process is another user's than the one that makes this; both have group 0."""
    cert: str = "cert.pem"
    key: str = "key.pem"
    keystore: bool = False
    """It wants PKCS #12 besides."""


SERVICES: Mapping[str, Service] = {
    "api-server": Service(("api-server", "localhost")),
    "portal": Service(("portal", "localhost")),
    "postgres": Service(("postgres",), group_reads=True),
    "redis": Service(("redis",), group_reads=True),
    "mail": Service(("mail", "localhost"), cert="relay.pem", key="relay.key"),
    "marquez": Service(("marquez", "localhost"), group_reads=True, keystore=True),
}


def ensure(directory: Path, now: datetime, *, system: Path, renew: bool) -> bool:
    """Certificates for all services below `directory`; whether they had to be made.

    To renew is for who starts every service anew afterwards. `system` is the file of the public
    authorities. Raises ConfigurationError when it is missing.
    """
    trusted = [directory / "ca" / name for name in ("ca.pem", "bundle.pem")]
    shown = (directory / name / one.cert for name, one in SERVICES.items())
    until = now + RENEW if renew else now
    if all(one.exists() for one in trusted) and all(_lasts(one, until) for one in shown):
        return False
    begins, ends = now - _CLOCKS_DIFFER, now + VALID
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"reengage stack {now:%Y-%m-%d}")])
    ca = (
        builder(name, name, authority.public_key(), begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage("key_cert_sign"), critical=True)
        .sign(authority, hashes.SHA256())
    )
    pem = b"".join(
        one.public_bytes(Encoding.PEM) for one in (ca, *_still_valid(directory / "ca/ca.pem", now))
    )
    # First, so that whatever a service shows meanwhile is believed.
    _write(directory / "ca" / "bundle.pem", _public_authorities(system) + pem, 0o644)
    _write(directory / "ca" / "ca.pem", pem, 0o644)
    for service, one in SERVICES.items():
        _write(directory / service / "ca.pem", pem, 0o644)
        _issue(directory / service, one, authority, ca, ends=ends)
    return True


def name_of(directory: Path) -> str:
    """What the newest certificates are called: 16 hex digits of their authority's SHA-256.

    Raises ConfigurationError where there is none.
    """
    return read_authorities(directory / "ca" / "ca.pem")[0].fingerprint(hashes.SHA256()).hex()[:16]


def _issue(
    directory: Path,
    one: Service,
    authority: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    *,
    ends: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one.names[0])])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in one.names])
    begins = ca.not_valid_before_utc
    certificate = (
        builder(subject, ca.subject, key.public_key(), begins, ends)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority, hashes.SHA256())
    )
    secret = 0o640 if one.group_reads else 0o600
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(directory / one.key, private, secret)
    if one.keystore:
        store = pkcs12.serialize_key_and_certificates(
            one.names[0].encode(),
            key,
            certificate,
            [ca],
            BestAvailableEncryption(_KEYSTORE_PASSWORD),
        )
        _write(directory / "keystore.p12", store, secret)
    # The last one: where it is there, the others are.
    _write(directory / one.cert, certificate.public_bytes(Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    write_private(path, content)
    path.chmod(mode)


def _lasts(path: Path, until: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return certificate.not_valid_after_utc >= until


def _still_valid(path: Path, now: datetime) -> list[x509.Certificate]:
    """Authorities of before whose certificates may still be shown; none where they are unreadable.

    Ours alone lie there, and what they signed ends with them.
    """
    try:
        found = read_authorities(path)
    except ConfigurationError:
        return []
    return [one for one in found if one.not_valid_after_utc > now]


def _public_authorities(system: Path) -> bytes:
    try:
        return system.read_bytes().rstrip() + b"\n"
    except OSError as error:
        raise ConfigurationError(
            f"the system's certificate authorities cannot be read at {system} ({error.strerror});"
            " install ca-certificates in the image"
        ) from None


def today() -> datetime:
    """The machine's clock: certificates are held to no other."""
    return datetime.now(UTC)
