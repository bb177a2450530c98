"""AuthEnvelopedData: a letter encrypted to one recipient (RFC 5083, 5084, 8551 section 2.7).

The content key is drawn for each letter; AES-256-GCM with a 16 octet tag and a nonce of 12, of
which each key sees one. The key travels by RSA-OAEP (RFC 3560; SHA-256 throughout) or by one-time
ECDH with AES-256 key wrap (RFC 5753; the one-pass scheme with SHA-256), as the certificate's key
asks. There is one algorithm for each and no argument to choose another: CBC, PKCS #1 v1.5 and
SHA-1 are neither written nor read.

Written without authenticated attributes, because OpenSSL 3.0 does not read them; read with them.
What stands outside ciphertext and attributes (who it is for, how the key travels) is not under the
tag, so an opener compares it with what it must be.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from reengage.errors import LetterError
from reengage.sealing import cms, identifiers
from reengage.sealing.certificates import Certificate, CertificateFault

KEY_OCTETS = 32
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
_UNCOMPRESSED = b"\x04"


def encrypt(payload: bytes, recipient: Certificate) -> tuple[bytes, bytes]:
    """The DER of AuthEnvelopedData over `payload`, and its content key. All randomness is inside.

    Raises CertificateFault for a key of no accepted kind, which `check_certificate` has refused
    before, and for one that OpenSSL does not encrypt to.
    """
    content_key = os.urandom(KEY_OCTETS)
    nonce = os.urandom(cms.NONCE_OCTETS)
    sealed = AESGCM(content_key).encrypt(nonce, payload, None)
    structure = cms.AuthEnvelopedData(
        version=0,
        recipients=asn1.SetOf([_travelling(recipient, content_key)]),
        content=cms.EncryptedContent(
            type=cms.DATA,
            algorithm=cms.ContentAlgorithm(
                algorithm=cms.AES_256_GCM,
                parameters=cms.GcmParameters(nonce=nonce, tag_octets=cms.TAG_OCTETS),
            ),
            ciphertext=sealed[: -cms.TAG_OCTETS],
        ),
        attributes=None,
        tag=sealed[-cms.TAG_OCTETS :],
    )
    der = cms.encode(cms.AuthEnveloped(type=cms.AUTH_ENVELOPED_DATA, content=structure))
    return der, content_key


def _travelling(recipient: Certificate, content_key: bytes) -> cms.KeyTransport | cms.KeyAgreement:
    try:
        return _key_for(recipient, content_key)
    except (ValueError, UnsupportedAlgorithm, InternalError):  # the key is a patient's to choose
        raise CertificateFault("certificate_weak_key") from None


def _key_for(recipient: Certificate, content_key: bytes) -> cms.KeyTransport | cms.KeyAgreement:
    key = recipient.key
    if isinstance(key, rsa.RSAPublicKey):
        return cms.KeyTransport(
            version=0,
            recipient=recipient.name,
            algorithm=identifiers.OAEP_SHA_256,
            encrypted_key=key.encrypt(content_key, _OAEP),
        )
    once = ec.generate_private_key(key.curve)
    point = once.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    wrapping_key = _derived(once.exchange(ec.ECDH(), key), None)
    return cms.KeyAgreement(
        version=3,
        originator=cms.OriginatorKey(
            algorithm=identifiers.EC_KEY, public_key=asn1.BitString(point, 0)
        ),
        user_material=None,
        algorithm=identifiers.ECDH_SHA_256,
        keys=[
            cms.WrappedKey(
                recipient=recipient.name, encrypted_key=aes_key_wrap(wrapping_key, content_key)
            )
        ],
    )


def _derived(shared: bytes, user_material: bytes | None) -> bytes:
    """The key that wraps (RFC 5753 section 7.2, ANSI X9.63)."""
    info = cms.SharedInfo(
        algorithm=identifiers.AES_256_WRAP,
        user_material=user_material,
        key_bits=(8 * KEY_OCTETS).to_bytes(4, "big"),
    )
    return X963KDF(hashes.SHA256(), KEY_OCTETS, cms.encode(info)).derive(shared)


def open_with_key(der: bytes, content_key: bytes) -> bytes:
    """The payload, with its content key. Raises LetterError for altered or other bytes."""
    return _opened(_read(der), content_key)


def decrypt(der: bytes, private_key: PrivateKey, recipient: Certificate) -> bytes:
    """The payload, as its recipient opens it. Raises LetterError for altered or other bytes."""
    data = _read(der)
    for info in data.recipients.as_list():
        content_key = _unwrapped(info, private_key, recipient)
        if content_key is not None:
            return _opened(data, content_key)
    raise _refused("it is not for this recipient, or was altered")


def _opened(data: cms.AuthEnvelopedData, content_key: bytes) -> bytes:
    associated = None if data.attributes is None else cms.attributes_der(data.attributes)
    sealed = data.content.ciphertext + data.tag
    if len(content_key) != KEY_OCTETS:
        raise _refused("its key is not one of AES-256")
    try:
        nonce = data.content.algorithm.parameters.nonce
        return AESGCM(content_key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise _refused("its tag does not fit: altered, or sealed with another key") from None


def _unwrapped(
    info: cms.KeyTransport | cms.KeyAgreement, private_key: PrivateKey, recipient: Certificate
) -> bytes | None:
    try:
        if isinstance(info, cms.KeyTransport):
            return _transported(info, private_key, recipient)
        return _agreed(info, private_key, recipient)
    except (ValueError, InvalidUnwrap):
        return None


def _transported(
    info: cms.KeyTransport, private_key: PrivateKey, recipient: Certificate
) -> bytes | None:
    if not isinstance(private_key, rsa.RSAPrivateKey) or info.version != 0:
        return None
    if not identifiers.is_oaep(info.algorithm) or not _is(info.recipient, recipient):
        return None
    return private_key.decrypt(info.encrypted_key, _OAEP)


def _agreed(
    info: cms.KeyAgreement, private_key: PrivateKey, recipient: Certificate
) -> bytes | None:
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or info.version != 3:
        return None
    once = info.originator
    if not identifiers.is_same(info.algorithm, identifiers.ECDH_SHA_256):
        return None
    if isinstance(once, bytes) or not identifiers.is_ec_key(once.algorithm):
        return None
    octets = once.public_key.as_bytes()
    if once.public_key.padding_bits() or octets[:1] != _UNCOMPRESSED:
        return None
    # Refuses a point that is not on the curve.
    point = ec.EllipticCurvePublicKey.from_encoded_point(private_key.curve, octets)
    wrapping_key = _derived(private_key.exchange(ec.ECDH(), point), info.user_material)
    own = [wrapped for wrapped in info.keys if _is(wrapped.recipient, recipient)]
    return aes_key_unwrap(wrapping_key, own[0].encrypted_key) if len(own) == 1 else None


def _is(name: cms.IssuerAndSerial, recipient: Certificate) -> bool:
    return (cms.encode(name.issuer), name.serial) == (recipient.issuer, recipient.serial)


def _read(der: bytes) -> cms.AuthEnvelopedData:
    """The structure, if it is AES-256-GCM with a whole tag over a MIME entity."""
    try:
        envelope = cms.decode(cms.AuthEnveloped, der)
    except ValueError:
        raise _refused("it is not AuthEnvelopedData in DER") from None
    data, parameters = envelope.content, envelope.content.content.algorithm.parameters
    if (
        envelope.type != cms.AUTH_ENVELOPED_DATA
        or data.version != 0
        or data.content.type != cms.DATA
        or data.content.algorithm.algorithm != cms.AES_256_GCM
        or parameters.tag_octets != cms.TAG_OCTETS
        or len(data.tag) != cms.TAG_OCTETS
        or len(parameters.nonce) != cms.NONCE_OCTETS
    ):
        raise _refused("it is not sealed with AES-256-GCM and a whole tag")
    return data


def _refused(why: str) -> LetterError:
    return LetterError(f"a sealed letter does not open: {why}")
