"""S/MIME 4.0: a letter signed by the practice, then encrypted to its recipient (RFC 8551).

Sign, then AuthEnvelopedData with AES-256-GCM, and no other order or algorithm (EML-21, EML-23):
authenticated encryption proves that nothing was altered, not who wrote it. The content key is
handed back once, so that the finished letter can be opened and compared before it may be sent; it
is worth as much as the letter and is kept as the letter is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from reengage.errors import KeyringError
from reengage.sealing import enveloped, mime, signed
from reengage.sealing.certificates import (
    Certificate,
    CertificateFault,
    certificate_of,
    check_own,
)
from reengage.sealing.revocation import UNREADABLE

_DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Signer:
    """The practice's identity, as `from_pem` has checked it."""

    identity: signed.Identity

    @property
    def certificate(self) -> bytes:
        """DER of the certificate that signs: what an opener checks the signature with."""
        return self.identity.certificate.der

    @classmethod
    def from_pem(cls, key: bytes, chain: bytes, *, address: str, at: datetime) -> Signer:
        """A key and its certificates in PEM: its own first, then the authorities above it.

        Raises KeyringError for what would make readers' clients warn: a certificate, its own or an
        authority's, that is out of date, one for another key or address than the sender's, too weak
        or not for signing mail, and a chain out of order.
        """
        private = _private_key(key)
        try:
            parsed = x509.load_pem_x509_certificates(chain)
            own = certificate_of(parsed[0].public_bytes(_DER))
            check_own(own, address=address, at=at, use="sign")
            for issued, by in pairwise(parsed):
                issued.verify_directly_issued_by(by)
        except CertificateFault as fault:
            raise _unusable(f"its certificate is refused: {fault.code}") from None
        except (*UNREADABLE, InvalidSignature):
            raise _unusable(
                "its certificates are not PEM, its own first, each by the next"
            ) from None
        if private.public_key() != own.key:
            raise _unusable("its certificate is for another key")
        for by in parsed[1:]:
            if not by.not_valid_before_utc <= at <= by.not_valid_after_utc:
                raise _unusable("a certificate of an authority above it is out of date")
        authorities = tuple(authority.public_bytes(_DER) for authority in parsed[1:])
        return cls(signed.Identity(own, authorities, private))


def _private_key(pem: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except UNREADABLE:
        raise _unusable("its key is not a private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _unusable("its key is neither RSA nor of a NIST curve")
    return key


def _unusable(why: str) -> KeyringError:
    return KeyringError(
        f"the S/MIME identity cannot sign: {why}; restore it, or order a certificate for it"
    )


@dataclass(frozen=True)
class Sealed:
    """A letter's MIME entity, and the key that opens it."""

    entity: bytes = field(repr=False)
    content_key: bytes = field(repr=False)


def seal(
    payload: bytes, recipient: Certificate, signer: Signer, *, signed_at: datetime | None = None
) -> Sealed:
    """`payload`, a MIME entity with CRLF line ends, signed and then encrypted to the recipient.

    `signed_at` is the letter's Date where that is not now: a client that compares the two finds no
    contradiction. Randomness is drawn inside.
    """
    structure = signed.sign(payload, signer.identity, at=signed_at or datetime.now(UTC))
    return encrypt_only(mime.wrap(structure, "signed-data"), recipient)


def encrypt_only(payload: bytes, recipient: Certificate) -> Sealed:
    """The second half of `seal`, apart so that it can be measured. No letter is sent unsigned."""
    structure, content_key = enveloped.encrypt(payload, recipient)
    return Sealed(mime.wrap(structure, "authEnveloped-data"), content_key)


def open_with_content_key(entity: bytes, content_key: bytes, *, signer_certificate: bytes) -> bytes:
    """The payload, verified: what the sender compares before sending. Raises LetterError.

    Says nothing on the recipient's half: whether the key in the letter is this one, only the
    recipient's private key can tell.
    """
    inner = enveloped.open_with_key(mime.unwrap(entity, "authEnveloped-data"), content_key)
    return signed.verify(mime.unwrap(inner, "signed-data"), signer_certificate=signer_certificate)


def open_as_recipient(
    entity: bytes,
    private_key: enveloped.PrivateKey,
    recipient: Certificate,
    *,
    signer_certificate: bytes,
) -> bytes:
    """The payload, verified, as the recipient's client opens it. Raises LetterError."""
    structure = mime.unwrap(entity, "authEnveloped-data")
    inner = enveloped.decrypt(structure, private_key, recipient)
    return signed.verify(mime.unwrap(inner, "signed-data"), signer_certificate=signer_certificate)
