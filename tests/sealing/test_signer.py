"""The practice's identity, and what it puts under its signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from reengage.errors import KeyringError, LetterError
from reengage.sealing import cms, enveloped, identifiers, mime, signed
from reengage.sealing.smime import (
    Sealed,
    Signer,
    open_as_recipient,
    seal,
)
from sealing.authority import (
    MAIL,
    NOW,
    PATIENT,
    PRACTICE,
    Extensions,
    for_key,
    for_mailbox,
    key,
    pem,
    root,
    usage,
)
from sealing.letters import PAYLOAD, ROOT, chain, patient, signer

AUTH, OPAQUE = "authEnveloped-data", "signed-data"


def opened(sealed: Sealed, kind: str = "p-256", by: str = "p-256") -> bytes:
    certificate, private = patient(kind)
    return open_as_recipient(
        sealed.entity, private, certificate, signer_certificate=signer(by).certificate
    )


def own(extensions: Extensions | None = None, kind: str = "p-256", **dates: Any) -> bytes:
    private = key(kind, "practice")
    usual = (*for_key(private), *MAIL, *for_mailbox(PRACTICE))
    return pem(ROOT.certify(private, extensions or usual, **dates)).encode()


def mine(kind: str = "p-256") -> bytes:
    return pem(key(kind, "practice")).encode()


def below(**dates: Any) -> bytes:
    """Its certificate in force, by an authority below the root with these dates."""
    authority, private = ROOT.below("signs", **dates), key("p-256", "practice")
    certificate = authority.certify(private, (*for_key(private), *MAIL, *for_mailbox(PRACTICE)))
    return (pem(certificate) + pem(authority.certificate)).encode()


BAD_IDENTITIES: dict[str, tuple[str, Callable[[], tuple[bytes, bytes]]]] = {
    "expired": ("certificate_expired", lambda: (mine(), own(ends=NOW - timedelta(1)))),
    "tomorrow's": ("certificate_not_yet", lambda: (mine(), own(starts=NOW + timedelta(1)))),
    "another address's": (
        "certificate_wrong_address",
        lambda: (mine(), own((*for_key(key()), *MAIL, *for_mailbox(PATIENT)))),
    ),
    "for encryption only": (
        "certificate_wrong_usage",
        lambda: (mine(), own(((usage(key_agreement=True), True), *MAIL, *for_mailbox(PRACTICE)))),
    ),
    "RSA-1024": ("certificate_weak_key", lambda: (mine("rsa-1024"), own(kind="rsa-1024"))),
    "P-521": ("certificate_weak_key", lambda: (mine("p-521"), own(kind="p-521"))),
    "another key's": ("for another key", lambda: (pem(key("p-256", "x")).encode(), own())),
    "a key of another kind": ("for another key", lambda: (pem(key("rsa-2048")).encode(), own())),
    "a chain out of order": (
        "each by the next", lambda: (mine(), own() + pem(root("other").certificate).encode())
    ),
    "an authority that has expired": (
        "authority above it is out of date", lambda: (mine(), below(ends=NOW - timedelta(1)))
    ),
    "an authority of tomorrow": (
        "authority above it is out of date", lambda: (mine(), below(starts=NOW + timedelta(1)))
    ),
    "no certificate": ("not PEM", lambda: (mine(), b"")),
    "a key cut short": ("private key in PEM", lambda: (mine()[:60], own())),
    "a certificate for a key": ("private key in PEM", lambda: (own(), own())),
    "an Ed25519 key": (
        "neither RSA nor",
        lambda: (
            b"-----BEGIN PRIVATE KEY-----\n"
            b"MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
            b"-----END PRIVATE KEY-----\n",
            own(),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_IDENTITIES)
def test_an_identity_that_cannot_sign_is_refused(case: str) -> None:  # EML-21
    said, make = BAD_IDENTITIES[case]
    private, certificates = make()
    with pytest.raises(KeyringError, match=said) as raised:
        Signer.from_pem(private, certificates, address=PRACTICE, at=NOW)
    assert PATIENT not in str(raised.value)


def test_an_identity_below_an_authority_in_force_signs() -> None:
    assert len(Signer.from_pem(mine(), below(), address=PRACTICE, at=NOW).identity.authorities) == 1


def test_a_key_with_a_password_is_refused() -> None:
    locked = key("p-256", "practice").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(KeyringError, match="without a password"):
        Signer.from_pem(locked, own(), address=PRACTICE, at=NOW)


def test_what_is_signed_names_time_certificate_and_capabilities() -> None:  # RFC 8551 section 2.5
    der = signed.sign(PAYLOAD, signer().identity, at=NOW)
    structure = cms.decode(cms.Signed, der).content
    [info] = structure.signers.as_list()
    attributes = {a.type: cms.encode(a.values.as_list()[0]) for a in info.attributes.as_list()}
    assert attributes[cms.SIGNING_TIME] == b"\x17\x0d260601120000Z"
    assert set(attributes) == {
        cms.CONTENT_TYPE, cms.MESSAGE_DIGEST, cms.SIGNING_TIME, cms.SIGNING_CERTIFICATE_V2,
        cms.SMIME_CAPABILITIES,
    }  # fmt: skip
    sent = {cms.encode(certificate) for certificate in structure.certificates.as_list()}
    parsed = x509.load_pem_x509_certificates(chain())
    assert sent == {c.public_bytes(serialization.Encoding.DER) for c in parsed}


def test_a_letter_is_signed_at_its_date() -> None:
    sealed = seal(PAYLOAD, patient()[0], signer(), signed_at=NOW)
    inner = enveloped.open_with_key(mime.unwrap(sealed.entity, AUTH), sealed.content_key)
    assert b"\x17\x0d260601120000Z" in mime.unwrap(inner, OPAQUE)


def test_a_signature_of_an_earlier_certificate_of_the_same_key_is_refused() -> None:
    renewed = Signer.from_pem(mine(), own(), address=PRACTICE, at=NOW)
    assert renewed.certificate != signer().certificate
    sealed = seal(PAYLOAD, patient()[0], renewed)
    with pytest.raises(LetterError, match="expected certificate"):
        opened(sealed)


def test_algorithms_are_the_standards_own() -> None:
    """By their dotted names, so that no slip of a hexadecimal digit passes for a round trip."""
    dotted = {
        "OAEP_SHA_256": "1.2.840.113549.1.1.7", "PSS_SHA_256": "1.2.840.113549.1.1.10",
        "ECDSA_SHA_256": "1.2.840.10045.4.3.2", "ECDH_SHA_256": "1.3.132.1.11.1",
        "SHA_256": "2.16.840.1.101.3.4.2.1", "AES_256_WRAP": "2.16.840.1.101.3.4.1.45",
    }  # fmt: skip
    for constant, expected in dotted.items():
        data = bytes(getattr(identifiers, constant).data)
        assert data.startswith(cms.encode(cms.Oid(expected))), constant


def resigned(**values: bytes | None) -> bytes:
    """A letter whose attributes are others, under a sound signature of the practice's."""
    kinds = {
        "content_type": cms.CONTENT_TYPE,
        "digest": cms.MESSAGE_DIGEST,
        "certificate": cms.SIGNING_CERTIFICATE_V2,
    }
    data = cms.decode(cms.Signed, signed.sign(PAYLOAD, signer().identity, at=NOW)).content
    [info] = data.signers.as_list()
    given = {kinds[name]: value for name, value in values.items()}
    kept = [a for a in info.attributes.as_list() if a.type not in given]
    new = [
        cms.Attribute(type=kind, values=asn1.SetOf([cms.element(value)]))
        for kind, value in given.items()
        if value is not None
    ]
    attributes = asn1.SetOf([*kept, *new])
    signature = signer().identity.key.sign(
        cms.attributes_der(attributes), ec.ECDSA(hashes.SHA256())
    )
    own = type(info)(**{**fields(info), "attributes": attributes, "signature": signature})
    whole = type(data)(**{**fields(data), "signers": asn1.SetOf([own])})
    return cms.encode(cms.Signed(type=cms.SIGNED_DATA, content=whole))


def fields(structure: Any) -> dict[str, Any]:
    return {name: getattr(structure, name) for name in structure.__dataclass_fields__}


OTHER_ID = cms.encode(
    cms.SigningCertificate(certificates=[cms.CertificateId(digest=bytes(32), issuer_serial=None)])
)


@pytest.mark.parametrize(
    "values",
    [
        {"content_type": cms.encode(cms.SIGNED_DATA)},
        {"content_type": None},
        {"digest": b"\x04\x20" + bytes(32)},
        {"digest": None},
        {"certificate": OTHER_ID},
        {"certificate": cms.encode(cms.DATA)},
        {"certificate": None},
    ],
)
def test_what_is_signed_must_be_this_payload_by_this_certificate(
    values: dict[str, bytes | None],
) -> None:
    assert signed.verify(resigned(), signer_certificate=signer().certificate) == PAYLOAD
    with pytest.raises(LetterError):
        signed.verify(resigned(**values), signer_certificate=signer().certificate)
