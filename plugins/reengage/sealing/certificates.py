"""Certificates of recipients: checked in each run, from the PEM in the contract's `contact`.

`check_certificate` promises a certificate that is in force, made out for exactly this address, for
encrypting mail, with a key that is strong enough, issued below an anchor of the practice's and not
revoked; or raises CertificateFault with one code of a closed list (EML-21, EML-23). Whatever the
bytes are, no other exception leaves. It is asked at composing and again before sending.

Accepted keys are RSA from 2048 to 8192 bits and P-256 and P-384. Not P-521, X25519 or X448: mail
clients that decrypt with them are few, and the last two are not among the curves of NIST
SP 800-56A, which modules with a FIPS 140 certificate keep to.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, PublicKeyAlgorithmOID

from reengage.errors import ReengageError
from reengage.sealing import cms
from reengage.sealing.path import chain_to_anchor
from reengage.sealing.revocation import SIGNATURE_HASHES, UNREADABLE
from reengage.sealing.trust import Trust, is_authority

Fault = Literal[
    "certificate_malformed",
    "certificate_too_large",
    "certificate_not_yet_valid",
    "certificate_expired",
    "certificate_wrong_address",
    "certificate_weak_key",
    "certificate_wrong_usage",
    "certificate_untrusted",
    "certificate_revoked",
    "certificate_revocation_unknown",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
MAX_PEM_CHARACTERS = 16_384
"""Weighed before anything is parsed. RSA-4096 with a generous profile takes 4,000."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
CURVES = ("secp256r1", "secp384r1")

_PEM = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII
)


class CertificateFault(ReengageError):  # noqa: N818  a finding about a patient's file, no error
    """A certificate may not be used; `code` is why, and a reason code of reasons.py."""

    def __init__(self, code: Fault) -> None:
        super().__init__(f"the recipient's certificate is refused: {code}")
        self.code: Fault = code


@dataclass(frozen=True)
class Certificate:
    """A certificate that was read. Whether it may be used is its check's to say."""

    der: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    """The issuer's name, in the octets of the certificate."""
    serial: int
    expires: datetime
    parsed: x509.Certificate = field(repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the DER, in hex: names the certificate in records."""
        return sha256(self.der).hexdigest()

    @cached_property
    def key(self) -> PublicKey:
        """The public key, of a kind and size that is accepted. Raises CertificateFault."""
        key = self.parsed.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or not _strong(key):
            raise CertificateFault("certificate_weak_key")
        # An RSA key may be bound to one scheme (RFC 4055): OAEP and PSS are not its only uses here.
        if self.parsed.public_key_algorithm_oid not in (
            PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
            PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        ):
            raise CertificateFault("certificate_weak_key")
        return key

    @cached_property
    def name(self) -> cms.IssuerAndSerial:
        """How CMS names it."""
        return cms.IssuerAndSerial(issuer=cms.element(self.issuer), serial=self.serial)


def check_certificate(pem: str, *, address: str, at: datetime, trust: Trust) -> Certificate:
    """The recipient's certificate, fit to encrypt to. Raises CertificateFault and nothing else."""
    if len(pem) > MAX_PEM_CHARACTERS:
        raise CertificateFault("certificate_too_large")
    certificate = read_certificate(pem)
    try:
        check_own(certificate, address=address, at=at, use="encrypt")
        chain = chain_to_anchor(certificate.parsed, trust, at=at)
    except UNREADABLE:
        raise CertificateFault("certificate_malformed") from None
    if chain is None:
        raise CertificateFault("certificate_untrusted")
    standings = [trust.standing(member, issuer, at=at) for member, issuer in pairwise(chain)]
    if "revoked" in standings:
        raise CertificateFault("certificate_revoked")
    if "unknown" in standings:
        raise CertificateFault("certificate_revocation_unknown")
    return certificate


@lru_cache(maxsize=1024)
def read_certificate(pem: str) -> Certificate:
    """The one certificate in `pem`, with nothing around it. Raises CertificateFault."""
    block = _PEM.fullmatch(pem)
    try:
        if block is None:
            raise ValueError("not one PEM block")
        return certificate_of(b64decode("".join(block[1].split()), validate=True))
    except (Error, *UNREADABLE):
        raise CertificateFault("certificate_malformed") from None


def certificate_of(der: bytes) -> Certificate:
    """A certificate from its DER. Raises one of UNREADABLE for other bytes."""
    parsed = x509.load_der_x509_certificate(der)
    if cms.decode(cms.SignedCertificate, der).signature.padding_bits():
        raise ValueError("unused bits, which nobody signed, would make it another by its digest")
    tbs = cms.decode(cms.TbsCertificate, parsed.tbs_certificate_bytes)
    _ = parsed.extensions, parsed.subject  # `cryptography` reads them late: fail here if ever
    return Certificate(
        der=der,
        issuer=cms.encode(tbs.issuer),
        serial=parsed.serial_number,
        expires=parsed.not_valid_after_utc,
        parsed=parsed,
    )


def check_own(
    certificate: Certificate, *, address: str, at: datetime, use: Literal["encrypt", "sign"]
) -> None:
    """What a certificate says of itself: dates, strength, usage, address. Raises CertificateFault.

    A signer's certificate is held to the same, with the key usage of a signature.
    """
    parsed = certificate.parsed
    if at < parsed.not_valid_before_utc:
        raise CertificateFault("certificate_not_yet_valid")
    if at > parsed.not_valid_after_utc:
        raise CertificateFault("certificate_expired")
    algorithm = parsed.signature_hash_algorithm
    if algorithm is None or algorithm.name not in SIGNATURE_HASHES:
        raise CertificateFault("certificate_weak_key")
    if not _serves(certificate, certificate.key, use):
        raise CertificateFault("certificate_wrong_usage")
    if not any(_same_mailbox(address, own) for own in _addresses(parsed)):
        raise CertificateFault("certificate_wrong_address")


def _strong(key: PublicKey) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in CURVES
    # FIPS 186-5 asks for an exponent above 2^16; a huge one would cost each letter its time.
    # An even number is nobody's: OpenSSL refuses to encrypt to it, in the middle of a chunk.
    numbers = key.public_numbers()
    odd = bool(numbers.n & numbers.e & 1)
    return odd and 2048 <= key.key_size <= 8192 and 2**16 < numbers.e < 2**32


def _serves(certificate: Certificate, key: PublicKey, use: Literal["encrypt", "sign"]) -> bool:
    """Key usage and extended key usage (RFC 8550 section 4.4). What is not said is not granted."""
    extensions = certificate.parsed.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    if is_authority(certificate.parsed) or ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        return False
    if use == "sign":
        return usage.digital_signature or usage.content_commitment
    return usage.key_encipherment if isinstance(key, rsa.RSAPublicKey) else usage.key_agreement


def _addresses(certificate: x509.Certificate) -> list[str]:
    """The mailboxes it is made out for: of its SAN, or without one there of its subject.

    A SmtpUTF8Mailbox (RFC 9598) is another kind of name, and none of these.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.RFC822Name)
    except x509.ExtensionNotFound:
        found = []
    subject = certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
    return found or [str(attribute.value) for attribute in subject]


def _same_mailbox(one: str, other: str) -> bool:
    """Local parts to the letter, domains in any case (RFC 5280 section 7.5); ASCII only."""
    (local, _, domain), (its_local, _, its_domain) = one.rpartition("@"), other.rpartition("@")
    return (
        one.isascii()
        and other.isascii()
        and bool(local and domain)
        and (local, domain.lower()) == (its_local, its_domain.lower())
    )
