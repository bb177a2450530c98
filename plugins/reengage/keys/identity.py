"""Identity: the private keys that have a public side: DKIM, and who signs S/MIME.

A new key must not sign before others can verify it. DKIM: a key belongs to the selector under
which the DNS has it, so that `selector` in practice.yaml decides which one signs. S/MIME: a key
waits with its request `0002.csr` until the certificate lies beside it as `0002.crt`, PEM, leaf
first.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from reengage.errors import KeyringError
from reengage.keys import files
from reengage.keys.info import KeyInfo
from reengage.keys.numbered import NumberedKeys


def new_dkim_key() -> tuple[bytes, str]:
    """RSA 2048 in PEM, and its public half as a DNS record has it (RFC 6376 section 3.6.1)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def dkim_number(keys: NumberedKeys, selector: str | None) -> int:
    """Number of the key that signs under a selector: its own, else the newest that has none."""
    alive = [info for info in keys.infos() if info.destroyed is None]
    own = [info.number for info in alive if selector and info.selector == selector]
    return max(own or [info.number for info in alive if info.selector is None], default=1)


def new_smime_key(
    keys: NumberedKeys, told: Callable[[KeyInfo], None], *, name: str, email: str
) -> KeyInfo:
    """A P-256 key that waits for its certificate, with a request for `email` in `0001.csr`."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    return keys.make(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        told,
        public=hashlib.sha256(_der(key.public_key())).hexdigest(),
        beside=lambda info: files.write_new(keys.path(info.number).with_suffix(".csr"), request),
    )


def smime_number(keys: NumberedKeys) -> int | None:
    """The newest number that has a certificate and was not destroyed."""
    return max((info.number for info in _certified(keys)), default=None)


def smime_identity(keys: NumberedKeys) -> tuple[bytes, bytes] | None:
    """Private key (PKCS#8, PEM) and certificates (PEM, leaf first); None where there are none.

    Raises KeyringError when the certificate is none, or another key's.
    """
    if (number := smime_number(keys)) is None:
        return None
    pem = keys.secret(number)
    own = load_pem_private_key(pem, None).public_key()
    chain, _ = _chain(keys, number, hashlib.sha256(_der(own)).hexdigest())
    return pem, chain


def smime_certificates(keys: NumberedKeys) -> frozenset[bytes]:
    """DER of the leaf certificate of each number that has one and was not destroyed.

    Raises KeyringError when one of them is none, or another key's.
    """
    leaves = (_chain(keys, info.number, info.public)[1] for info in _certified(keys))
    return frozenset(leaf.public_bytes(Encoding.DER) for leaf in leaves)


def _certified(keys: NumberedKeys) -> list[KeyInfo]:
    return [
        info
        for info in keys.infos()
        if info.destroyed is None and keys.path(info.number).with_suffix(".crt").exists()
    ]


def _chain(keys: NumberedKeys, number: int, public: str | None) -> tuple[bytes, x509.Certificate]:
    """The certificates beside a key as they lie there, and the leaf: the public key's of `public`.

    `public` is the SHA-256 of its SubjectPublicKeyInfo in hex, as the key's info has it.
    """
    path = keys.path(number).with_suffix(".crt")
    try:
        chain = path.read_bytes()
        leaf = x509.load_pem_x509_certificates(chain)[0]
        fits = hashlib.sha256(_der(leaf.public_key())).hexdigest() == public
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise KeyringError(
            f"{path} is not a certificate in PEM; put the one there that was issued for the request"
            f" {path.with_suffix('.csr').name}, followed by those above it"
        ) from None
    if not fits:
        raise KeyringError(
            f"{path} is the certificate of another key than {keys.path(number).name} beside it; the"
            " leaf comes first, and is the one that was issued for the request"
        )
    return chain, leaf


def _der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
