"""SignedData: a letter signed by the practice, content inside (RFC 5652 section 5, RFC 8551 2.5).

RSA-PSS (RFC 4056) or ECDSA (RFC 5753), with SHA-256. Opaque, not multipart/signed: within the
encryption no reader lacks S/MIME, and nothing on the way can touch what the signature covers.
Signed along: content type, digest, time, the signer's certificate (RFC 5035, against an exchange of
certificates for one key) and that answers may come in AES-256-GCM.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from reengage.errors import LetterError
from reengage.sealing import cms, identifiers
from reengage.sealing.certificates import (
    Certificate,
    CertificateFault,
    PublicKey,
    certificate_of,
)
from reengage.sealing.revocation import UNREADABLE

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)


@dataclass(frozen=True)
class Identity:
    """A certificate that signs, its key, and the authorities that its reader may need."""

    certificate: Certificate
    authorities: tuple[bytes, ...] = field(repr=False)
    """DER of the certificates above it; the anchor, which the reader has, may be left out."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(repr=False)

    @cached_property
    def constant_attributes(self) -> tuple[cms.Attribute, ...]:
        """What is signed along with each letter and is the same for all."""
        return (
            _attribute(cms.CONTENT_TYPE, cms.element(cms.encode(cms.DATA))),
            _attribute(cms.SIGNING_CERTIFICATE_V2, _certificate_id(self.certificate)),
            _attribute(cms.SMIME_CAPABILITIES, identifiers.CAPABILITIES),
        )


def sign(payload: bytes, identity: Identity, *, at: datetime) -> bytes:
    """The DER of SignedData with `payload` inside."""
    attributes = asn1.SetOf(
        [
            *identity.constant_attributes,
            _attribute(cms.MESSAGE_DIGEST, asn1.decode_der(asn1.TLV, _digest_octets(payload))),
            _attribute(cms.SIGNING_TIME, cms.element(_time(at))),
        ]
    )
    signer = cms.SignerInfo(
        version=1,
        signer=identity.certificate.name,
        digest_algorithm=identifiers.SHA_256,
        attributes=attributes,
        signature_algorithm=_algorithm_for(identity.certificate.key),
        signature=_signature(cms.attributes_der(attributes), identity.key),
    )
    structure = cms.SignedData(
        version=1,
        digest_algorithms=asn1.SetOf([identifiers.SHA_256]),
        content=cms.SignedContent(type=cms.DATA, content=payload),
        certificates=asn1.SetOf(
            [cms.element(der) for der in (identity.certificate.der, *identity.authorities)]
        ),
        signers=asn1.SetOf([signer]),
    )
    return cms.encode(cms.Signed(type=cms.SIGNED_DATA, content=structure))


def verify(der: bytes, *, signer_certificate: bytes) -> bytes:
    """The payload, if exactly the holder of this certificate (DER) signed it. Raises LetterError.

    Whether the certificate may sign, and is in force, is not asked here: the caller knows it.
    """
    try:
        signed = cms.decode(cms.Signed, der)
        certificate = certificate_of(signer_certificate)
        key = certificate.key
        signers = signed.content.signers.as_list()
        content = signed.content.content
    except (*UNREADABLE, CertificateFault):
        raise _refused("it, or the signer's certificate, is not DER that counts here") from None
    if signed.type != cms.SIGNED_DATA or content.type != cms.DATA or len(signers) != 1:
        raise _refused("it is not SignedData of one signer over a MIME entity")
    [signer] = signers
    _check_attributes(signer, content.content, certificate)
    _check_signature(signer, key)
    return content.content


def _check_attributes(signer: cms.SignerInfo, payload: bytes, certificate: Certificate) -> None:
    """The signature is over attributes; here they are compared with what they stand for."""
    attributes = signer.attributes.as_list()
    found = {a.type: [cms.encode(v) for v in a.values.as_list()] for a in attributes}
    by = (cms.encode(signer.signer.issuer), signer.signer.serial)
    if by != (certificate.issuer, certificate.serial) or not _certifies(
        found.get(cms.SIGNING_CERTIFICATE_V2, []), certificate
    ):
        raise _refused("it is not signed by the expected certificate")
    expected = {
        cms.CONTENT_TYPE: [cms.encode(cms.DATA)],
        cms.MESSAGE_DIGEST: [_digest_octets(payload)],
    }
    if len(found) != len(attributes) or any(found.get(k) != v for k, v in expected.items()):
        raise _refused("what was signed is not this payload")


def _certifies(values: list[bytes], certificate: Certificate) -> bool:
    try:
        [named] = [cms.decode(cms.SigningCertificate, value) for value in values]
    except ValueError:
        return False
    digests = [each.digest for each in named.certificates]
    return digests[:1] == [sha256(certificate.der).digest()]


def _check_signature(signer: cms.SignerInfo, key: PublicKey) -> None:
    signed, algorithm = cms.attributes_der(signer.attributes), signer.signature_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and identifiers.is_pss(algorithm):
            key.verify(signer.signature, signed, _PSS, hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey) and identifiers.is_same(
            algorithm, identifiers.ECDSA_SHA_256
        ):
            key.verify(signer.signature, signed, ec.ECDSA(hashes.SHA256()))
        else:
            raise _refused("its signature is not RSA-PSS or ECDSA with SHA-256")
    except InvalidSignature:
        raise _refused("its signature does not verify") from None


def _signature(octets: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, _PSS, hashes.SHA256())
    return key.sign(octets, ec.ECDSA(hashes.SHA256()))


def _algorithm_for(key: PublicKey) -> asn1.TLV:
    is_rsa = isinstance(key, rsa.RSAPublicKey)
    return identifiers.PSS_SHA_256 if is_rsa else identifiers.ECDSA_SHA_256


def _attribute(kind: cms.Oid, value: asn1.TLV) -> cms.Attribute:
    return cms.Attribute(type=kind, values=asn1.SetOf([value]))


def _digest_octets(payload: bytes) -> bytes:
    return b"\x04\x20" + sha256(payload).digest()


def _certificate_id(certificate: Certificate) -> asn1.TLV:
    own = cms.CertificateId(digest=sha256(certificate.der).digest(), issuer_serial=None)
    return cms.element(cms.encode(cms.SigningCertificate(certificates=[own])))


def _time(at: datetime) -> bytes:
    """UTCTime, as RFC 5652 section 11.3 asks up to 2049."""
    return b"\x17\x0d" + at.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode("ascii")


def _refused(why: str) -> LetterError:
    return LetterError(f"a signed letter is refused: {why}")
