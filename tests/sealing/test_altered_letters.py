"""Letters with one bit changed, or weaker than they must be: none opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.sealing import cms, enveloped, signed
from reengage.sealing.smime import (
    open_with_content_key,
)
from sealing.authority import (
    NOW,
)
from sealing.letters import PAYLOAD, patient, signer

AUTH, OPAQUE = "authEnveloped-data", "signed-data"


def flips(octets: bytes) -> Iterator[bytes]:
    for place in range(len(octets)):
        for bit in range(8):
            flipped = bytearray(octets)
            flipped[place] ^= 1 << bit
            yield bytes(flipped)


def refused(der: bytes, kind: str = "p-256") -> bool:
    certificate, private = patient(kind)
    try:
        enveloped.decrypt(der, private, certificate)
    except LetterError:
        return True
    return False


@pytest.mark.parametrize("kind", ["rsa-2048", "p-256"])
def test_every_flipped_bit_of_a_letter_is_refused(kind: str) -> None:  # EML-21
    """Ciphertext, tag, nonce, wrapped key, and all that says how to read them."""
    der, _ = enveloped.encrypt(b"a small letter", patient(kind)[0])
    assert not refused(der, kind)
    assert [flipped.hex() for flipped in flips(der) if not refused(flipped, kind)] == []


def with_attributes() -> bytes:
    """A letter with associated data, as RFC 5083 section 2.2 has it; we only read those."""
    certificate, _ = patient()
    der, content_key = enveloped.encrypt(b"a small letter", certificate)
    data = cms.decode(cms.AuthEnveloped, der).content
    kind = cms.Attribute(
        type=cms.CONTENT_TYPE, values=asn1.SetOf([cms.element(cms.encode(cms.DATA))])
    )
    attributes = asn1.SetOf([kind])
    nonce = data.content.algorithm.parameters.nonce
    associated = bytes.fromhex("311a301806092a864886f70d010903310b06092a864886f70d010701")
    sealed = AESGCM(content_key).encrypt(nonce, b"a small letter", associated)
    changed = cms.AuthEnvelopedData(
        version=0,
        recipients=data.recipients,
        content=cms.EncryptedContent(
            type=cms.DATA, algorithm=data.content.algorithm, ciphertext=sealed[:-16]
        ),
        attributes=attributes,
        tag=sealed[-16:],
    )
    return cms.encode(cms.AuthEnveloped(type=cms.AUTH_ENVELOPED_DATA, content=changed))


def test_every_flipped_bit_of_a_letter_with_associated_data_is_refused() -> None:
    der = with_attributes()
    assert enveloped.decrypt(der, patient()[1], patient()[0]) == b"a small letter"
    assert [flipped.hex() for flipped in flips(der) if not refused(flipped)] == []


@pytest.mark.parametrize("by", ["rsa-2048", "p-256"])
def test_every_flipped_bit_of_a_signature_or_of_what_it_covers_is_refused(by: str) -> None:
    der = signed.sign(b"a small letter", signer(by).identity, at=NOW)
    structure = cms.decode(cms.Signed, der)
    [info] = structure.content.signers.as_list()
    covered = (
        b"a small letter", info.signature, cms.encode(info.signature_algorithm),
        cms.attributes_der(info.attributes)[2:], cms.encode(info.signer),
    )  # fmt: skip
    for part in covered:
        start = der.rindex(part)
        for flipped in flips(part):
            altered = der[:start] + flipped + der[start + len(part) :]
            with pytest.raises(LetterError):
                signed.verify(altered, signer_certificate=signer(by).certificate)


def rebuilt(change: Callable[[Any], Any]) -> bytes:
    data = cms.decode(cms.AuthEnveloped, enveloped.encrypt(PAYLOAD, patient()[0])[0]).content
    return cms.encode(cms.AuthEnveloped(type=cms.AUTH_ENVELOPED_DATA, content=change(data)))


def changed(data: Any, **values: Any) -> Any:
    fields = {n: getattr(data, n) for n in data.__dataclass_fields__}
    return type(data)(**{**fields, **values})


def gcm(**values: Any) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        algorithm = data.content.algorithm
        parameters = changed(algorithm.parameters, **values)
        content = changed(data.content, algorithm=changed(algorithm, parameters=parameters))
        return changed(data, content=content)

    return change


def cipher(dotted: str) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        algorithm = changed(data.content.algorithm, algorithm=cms.Oid(dotted))
        return changed(data, content=changed(data.content, algorithm=algorithm))

    return change


@pytest.mark.parametrize(
    "change",
    [
        cipher("2.16.840.1.101.3.4.1.42"),  # AES-256-CBC
        cipher("2.16.840.1.101.3.4.1.6"),  # AES-128-GCM
        gcm(tag_octets=12),
        gcm(nonce=bytes(16)),
        lambda data: changed(data, tag=data.tag[:12]),
        lambda data: changed(data, version=1),
        lambda data: changed(data, recipients=asn1.SetOf([])),
    ],
)
def test_a_weaker_letter_is_not_opened(change: Callable[[Any], Any]) -> None:  # EML-23
    assert refused(rebuilt(change))


def with_point(write: Callable[[bytes], asn1.BitString]) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        [info] = data.recipients.as_list()
        written = write(info.originator.public_key.as_bytes())
        originator = changed(info.originator, public_key=written)
        return changed(data, recipients=asn1.SetOf([changed(info, originator=originator)]))

    return change


FORMS: dict[str, Callable[[bytes], asn1.BitString]] = {
    "compressed": lambda point: asn1.BitString(bytes([2 + point[-1] % 2]) + point[1:33], 0),
    "hybrid": lambda point: asn1.BitString(bytes([6 + point[-1] % 2]) + point[1:], 0),
    "not on the curve": lambda _: asn1.BitString(b"\x04" + bytes(31) + b"\x01" + bytes(32), 0),
    "nothing": lambda _: asn1.BitString(b"", 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_point_is_on_the_curve_and_written_in_one_form(form: str) -> None:
    assert not refused(rebuilt(with_point(lambda point: asn1.BitString(point, 0))))
    assert refused(rebuilt(with_point(FORMS[form])))


def test_a_point_has_no_unused_bits() -> None:
    def halved(point: bytes) -> asn1.BitString:
        return asn1.BitString(point[:-1] + bytes([point[-1] & 0xFE]), 1)

    def kept(point: bytes) -> asn1.BitString:
        return asn1.BitString(point[:-1] + bytes([point[-1] & 0xFE]), 0)

    # Half of all points end in a zero bit and are still on the curve.
    assert not all(refused(rebuilt(with_point(kept))) for _ in range(64))
    assert all(refused(rebuilt(with_point(halved))) for _ in range(64))


def test_a_tag_cut_short_is_refused_whatever_the_parameters_say() -> None:
    def change(data: Any) -> Any:
        return gcm(tag_octets=12)(changed(data, tag=data.tag[:12]))

    assert refused(rebuilt(change))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_letter_error(octets: bytes) -> None:
    certificate, private = patient()
    for attempt in (
        lambda: enveloped.decrypt(octets, private, certificate),
        lambda: signed.verify(octets, signer_certificate=signer().certificate),
        lambda: open_with_content_key(octets, bytes(32), signer_certificate=signer().certificate),
    ):
        with pytest.raises(LetterError):
            attempt()
