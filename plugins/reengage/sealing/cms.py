"""The Cryptographic Message Syntax, as far as a letter needs it: structures, declared once.

AuthEnvelopedData (RFC 5083) and SignedData (RFC 5652) as `cryptography`'s declared ASN.1, which
reads strict DER and nothing else. The syntax is narrower than the RFCs on purpose: recipients are
named by issuer and serial number, there is no originator information and no unauthenticated
attribute. What is not declared here does not parse, so an opener needs no rule against it.

An algorithm identifier is not taken apart: those that are accepted are constants, and an identifier
equals one of them to the last octet or is refused. There is no negotiation that could be lowered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

Oid = x509.ObjectIdentifier
decode = asn1.decode_der
"""Structure and DER to values. Raises ValueError for anything else than that structure's DER."""
encode = asn1.encode_der
"""Values to DER."""

DATA = Oid("1.2.840.113549.1.7.1")
SIGNED_DATA = Oid("1.2.840.113549.1.7.2")
AUTH_ENVELOPED_DATA = Oid("1.2.840.113549.1.9.16.1.23")  # RFC 5083 section 2

AES_256_GCM = Oid("2.16.840.1.101.3.4.1.46")  # RFC 5084 section 3.2
TAG_OCTETS = 16
NONCE_OCTETS = 12

CONTENT_TYPE = Oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = Oid("1.2.840.113549.1.9.4")
SIGNING_TIME = Oid("1.2.840.113549.1.9.5")
SMIME_CAPABILITIES = Oid("1.2.840.113549.1.9.15")
SIGNING_CERTIFICATE_V2 = Oid("1.2.840.113549.1.9.16.2.47")  # RFC 5035 section 3


@lru_cache(maxsize=256)
def element(der: bytes) -> asn1.TLV:
    """One DER element as a value of a structure. Raises ValueError for anything else."""
    return asn1.decode_der(asn1.TLV, der)


@asn1.sequence
class IssuerAndSerial:
    """How a certificate is named (RFC 5652 section 10.2.4)."""

    issuer: asn1.TLV
    serial: int


@asn1.sequence
class Attribute:
    """One attribute (RFC 5652 section 5.3)."""

    type: Oid
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class AttributeSet:
    """Holds attributes under their own tag: a signature, and associated data, are over that SET."""

    attributes: asn1.SetOf[Attribute]


@asn1.sequence
class KeyTransport:
    """RFC 5652 section 6.2.1: the content key encrypted to an RSA key."""

    version: int
    recipient: IssuerAndSerial
    algorithm: asn1.TLV
    encrypted_key: bytes


@asn1.sequence
class OriginatorKey:
    """The sender's one-time public key (RFC 5652 section 6.2.2)."""

    algorithm: asn1.TLV
    public_key: asn1.BitString


@asn1.sequence
class WrappedKey:
    """The content key under the agreed key (RFC 5652 section 6.2.2)."""

    recipient: IssuerAndSerial
    encrypted_key: bytes


@asn1.sequence
class KeyAgreement:
    """RFC 5753 section 3.1.1: the content key wrapped under a key agreed with a one-time key."""

    version: int
    originator: Annotated[
        Annotated[bytes, asn1.Implicit(0)] | Annotated[OriginatorKey, asn1.Implicit(1)],
        asn1.Explicit(0),
    ]
    user_material: Annotated[bytes | None, asn1.Explicit(1)]
    algorithm: asn1.TLV
    keys: list[WrappedKey]


@asn1.sequence
class SharedInfo:
    """ECC-CMS-SharedInfo (RFC 5753 section 7.2): what an agreed key is derived for."""

    algorithm: asn1.TLV
    user_material: Annotated[bytes | None, asn1.Explicit(0)]
    key_bits: Annotated[bytes, asn1.Explicit(2)]


@asn1.sequence
class GcmParameters:
    """Nonce and length of the tag (RFC 5084 section 3.2)."""

    nonce: bytes
    tag_octets: Annotated[int, asn1.Default(12)]


@asn1.sequence
class ContentAlgorithm:
    """The content's algorithm: GCM's parameters are the only ones that parse."""

    algorithm: Oid
    parameters: GcmParameters


@asn1.sequence
class EncryptedContent:
    """EncryptedContentInfo (RFC 5652 section 6.1), its content present."""

    type: Oid
    algorithm: ContentAlgorithm
    ciphertext: Annotated[bytes, asn1.Implicit(0)]


@asn1.sequence
class AuthEnvelopedData:
    """RFC 5083 section 2.1, without originatorInfo and unauthAttrs."""

    version: int
    recipients: asn1.SetOf[KeyTransport | Annotated[KeyAgreement, asn1.Implicit(1)]]
    content: EncryptedContent
    attributes: Annotated[asn1.SetOf[Attribute] | None, asn1.Implicit(1)]
    tag: bytes


@asn1.sequence
class AuthEnveloped:
    """The whole of it: content type and content (RFC 5652 section 3)."""

    type: Oid
    content: Annotated[AuthEnvelopedData, asn1.Explicit(0)]


@asn1.sequence
class SignedContent:
    """EncapsulatedContentInfo (RFC 5652 section 5.2), its content present."""

    type: Oid
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class CertificateId:
    """ESSCertIDv2 (RFC 5035 section 4) with its default hash, SHA-256."""

    digest: bytes
    issuer_serial: list[asn1.TLV] | None


@asn1.sequence
class SigningCertificate:
    """SigningCertificateV2 (RFC 5035 section 3), without policies; the first is the signer's."""

    certificates: list[CertificateId]


@asn1.sequence
class SignerInfo:
    """RFC 5652 section 5.3, its signed attributes present, unsigned ones absent."""

    version: int
    signer: IssuerAndSerial
    digest_algorithm: asn1.TLV
    attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    signature_algorithm: asn1.TLV
    signature: bytes


@asn1.sequence
class SignedData:
    """RFC 5652 section 5.1, its certificates present, revocation lists absent."""

    version: int
    digest_algorithms: asn1.SetOf[asn1.TLV]
    content: SignedContent
    certificates: Annotated[asn1.SetOf[asn1.TLV], asn1.Implicit(0)]
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class Signed:
    """The whole of it: content type and content (RFC 5652 section 3)."""

    type: Oid
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class SignedCertificate:
    """A certificate as a whole; only its signature is looked at."""

    tbs: asn1.TLV
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class TbsCertificate:
    """The start of a certificate: its issuer's name in the octets in which the issuer wrote it."""

    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: int
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public_key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


def attributes_der(attributes: asn1.SetOf[Attribute]) -> bytes:
    """The DER of the SET OF attributes, under the universal tag (RFC 5652 5.4, RFC 5083 2.2)."""
    return element_data(asn1.encode_der(AttributeSet(attributes=attributes)))


def element_data(der: bytes) -> bytes:
    """What stands in an element, without its tag and length."""
    return bytes(asn1.decode_der(asn1.TLV, der).data)
