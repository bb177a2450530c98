"""Algorithm identifiers, by their DER: constants to write, and to compare with when reading.

An identifier is an object identifier with parameters, and both count. `NULL` parameters of SHA-256
stand where RFC 4055 section 2.1 has them; other software leaves them out, so both forms are read.
"""

from __future__ import annotations

from cryptography.hazmat import asn1

from reengage.sealing import cms

_SEQUENCE, _CONTEXT = 0x30, 0xA0
_NULL = b"\x05\x00"


def _tagged(tag: int, *parts: bytes) -> bytes:
    """One element of up to 127 octets, which every identifier here is."""
    content = b"".join(parts)
    if len(content) > 127:
        raise ValueError("an algorithm identifier is too long for this form")
    return bytes([tag, len(content)]) + content


def _identifier(dotted: str, *parameters: bytes) -> bytes:
    return _tagged(_SEQUENCE, cms.encode(cms.Oid(dotted)), *parameters)


def _oaep(digest: bytes) -> bytes:
    """RSAES-OAEP (RFC 8017 appendix A.2.1) with one hash for both and the default, empty label."""
    mask = _identifier("1.2.840.113549.1.1.8", digest)
    parameters = _tagged(_SEQUENCE, _tagged(_CONTEXT, digest), _tagged(_CONTEXT + 1, mask))
    return _identifier("1.2.840.113549.1.1.7", parameters)


def _pss(digest: bytes) -> bytes:
    """RSASSA-PSS (RFC 8017 appendix A.2.3) with one hash for both and a salt as long as it."""
    mask = _identifier("1.2.840.113549.1.1.8", digest)
    salt = _tagged(_CONTEXT + 2, b"\x02\x01\x20")
    parameters = (_tagged(_CONTEXT, digest), _tagged(_CONTEXT + 1, mask), salt)
    return _identifier("1.2.840.113549.1.1.10", _tagged(_SEQUENCE, *parameters))


_SHA_256_OID = "2.16.840.1.101.3.4.2.1"
_SHA_256 = _identifier(_SHA_256_OID)
_SHA_256_NULL = _identifier(_SHA_256_OID, _NULL)
_AES_256_WRAP = _identifier("2.16.840.1.101.3.4.1.45")

SHA_256 = cms.element(_SHA_256)
OAEP_SHA_256 = cms.element(_oaep(_SHA_256_NULL))
PSS_SHA_256 = cms.element(_pss(_SHA_256_NULL))
ECDSA_SHA_256 = cms.element(_identifier("1.2.840.10045.4.3.2"))
AES_256_WRAP = cms.element(_AES_256_WRAP)
ECDH_SHA_256 = cms.element(_identifier("1.3.132.1.11.1", _AES_256_WRAP))
"""dhSinglePass-stdDH-sha256kdf-scheme with AES-256 key wrap (RFC 5753 section 7.1.4)."""
EC_KEY = cms.element(_identifier("1.2.840.10045.2.1"))
"""id-ecPublicKey, parameters absent: the curve is the recipient's (RFC 5753 section 3.1.1)."""
CAPABILITIES = cms.element(_tagged(_SEQUENCE, _identifier("2.16.840.1.101.3.4.1.46")))
"""SMIMECapabilities (RFC 8551 section 2.5.2): answers may come in AES-256-GCM."""

_CURVES = [cms.encode(cms.Oid(dotted)) for dotted in ("1.2.840.10045.3.1.7", "1.3.132.0.34")]
_EC_KEYS = [_identifier("1.2.840.10045.2.1", parameters) for parameters in (b"", _NULL, *_CURVES)]


def is_oaep(algorithm: asn1.TLV) -> bool:
    """Whether it is OAEP with SHA-256 throughout."""
    return cms.encode(algorithm) in (_oaep(_SHA_256), _oaep(_SHA_256_NULL))


def is_pss(algorithm: asn1.TLV) -> bool:
    """Whether it is PSS with SHA-256 throughout and 32 octets of salt."""
    return cms.encode(algorithm) in (_pss(_SHA_256), _pss(_SHA_256_NULL))


def is_same(algorithm: asn1.TLV, expected: asn1.TLV) -> bool:
    """Whether two identifiers are the same, parameters included."""
    return cms.encode(algorithm) == cms.encode(expected)


def is_ec_key(algorithm: asn1.TLV) -> bool:
    """Whether it is id-ecPublicKey, its parameters absent, NULL or a curve that is accepted.

    Which curve it is, the point decides: it is on the recipient's or refused.
    """
    return cms.encode(algorithm) in _EC_KEYS
