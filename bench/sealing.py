"""Sealing by mode, beside the bare primitive operations that each mode needs.

`encrypt_only` and the portal's `deposit` start from a composed letter, `seal` signs as well. A bare
operation is what `cryptography` does when it is called with keys that are ready: one-time ECDH with
its key derivation and key wrap, or OAEP; AES-256-GCM over as many octets; the signature. No
structure, no base64, no MIME.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from reengage.sealing import portal, smime
from reengage.sealing.certificates import Certificate, certificate_of

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Mode:
    """A way to seal, and the operations that it cannot do without."""

    name: str
    sealed: Callable[[bytes], object]
    bare: Callable[[bytes], object]
    encrypts_only: bool = False


def modes() -> Sequence[Mode]:
    """S/MIME by kind of key, encrypted only and signed as well, and the portal."""
    address = "letters@prairie.example.org"
    ours = ec.generate_private_key(ec.SECP256R1())
    signer = smime.Signer.from_pem(
        _pem(ours), _certificate(ours, address).public_bytes(serialization.Encoding.PEM),
        address=address, at=_NOW,
    )  # fmt: skip
    p256, rsa2048 = (
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    )
    found = []
    for name, key in (("P-256", p256), ("RSA-2048", rsa2048)):
        to = _recipient(key)
        found += [
            Mode(f"S/MIME encrypted to {name}", _encrypting(to), _bare_encryption(key), True),
            Mode(
                f"S/MIME signed by P-256, encrypted to {name}",
                _sealing(to, signer),
                _bare_both(key, ours),
            ),
        ]
    return [*found, Mode("portal", _depositing, _bare_deposit)]


def _encrypting(to: Certificate) -> Callable[[bytes], object]:
    return lambda payload: smime.encrypt_only(payload, to)


def _sealing(to: Certificate, signer: smime.Signer) -> Callable[[bytes], object]:
    return lambda payload: smime.seal(payload, to, signer)


def _depositing(payload: bytes) -> object:
    return portal.deposit(portal.Page("Subject", "", payload.decode("ascii")))


def _bare_encryption(key: Key) -> Callable[[bytes], object]:
    public: Any = key.public_key()
    wrapped = _ecdh if isinstance(key, ec.EllipticCurvePrivateKey) else _oaep

    def encrypt(payload: bytes) -> bytes:
        content_key = secrets.token_bytes(32)
        wrapped(public, content_key)
        return AESGCM(content_key).encrypt(secrets.token_bytes(12), payload, None)

    return encrypt


def _bare_both(key: Key, ours: ec.EllipticCurvePrivateKey) -> Callable[[bytes], object]:
    encrypt = _bare_encryption(key)

    def both(payload: bytes) -> object:
        ours.sign(payload, ec.ECDSA(hashes.SHA256()))
        return encrypt(payload)

    return both


def _bare_deposit(payload: bytes) -> object:
    return AESGCM(secrets.token_bytes(32)).encrypt(secrets.token_bytes(12), payload, b"id")


def _oaep(public: rsa.RSAPublicKey, content_key: bytes) -> bytes:
    return public.encrypt(content_key, _OAEP)


def _ecdh(public: ec.EllipticCurvePublicKey, content_key: bytes) -> bytes:
    once = ec.generate_private_key(public.curve)
    shared = once.exchange(ec.ECDH(), public)
    kek = X963KDF(hashes.SHA256(), 32, b"").derive(shared)
    return keywrap.aes_key_wrap(kek, content_key)


def _recipient(key: Key) -> Certificate:
    der = _certificate(key, "patient@example.org").public_bytes(serialization.Encoding.DER)
    return certificate_of(der)


def _certificate(key: Key, address: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    mail, usage = x509.RFC822Name(address), ExtendedKeyUsageOID.EMAIL_PROTECTION
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([mail]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=True,
        data_encipherment=False, key_agreement=True, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
