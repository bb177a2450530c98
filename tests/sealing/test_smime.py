"""Sealed letters: opened by who may, by nobody else, and not with one bit changed."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.sealing import cms, mime
from reengage.sealing.smime import (
    Sealed,
    encrypt_only,
    open_as_recipient,
    open_with_content_key,
    seal,
)
from sealing.authority import (
    KINDS,
)
from sealing.letters import PAYLOAD, SIGNERS, patient, signer

AUTH, OPAQUE = "authEnveloped-data", "signed-data"


def opened(sealed: Sealed, kind: str = "p-256", by: str = "p-256") -> bytes:
    certificate, private = patient(kind)
    return open_as_recipient(
        sealed.entity, private, certificate, signer_certificate=signer(by).certificate
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", SIGNERS)
def test_the_recipient_opens_what_was_sealed(by: str, kind: str) -> None:  # EML-21
    sealed = seal(PAYLOAD, patient(kind)[0], signer(by))
    assert opened(sealed, kind, by) == PAYLOAD
    assert (
        open_with_content_key(
            sealed.entity, sealed.content_key, signer_certificate=signer(by).certificate
        )
        == PAYLOAD
    )


def test_the_entity_says_what_it_is_and_nothing_else() -> None:  # EML-21, RFC 8551 section 3.4
    entity = seal(PAYLOAD, patient()[0], signer()).entity
    message = message_from_bytes(entity)
    assert message["Content-Type"].split() == [
        "application/pkcs7-mime;", "smime-type=authEnveloped-data;", "name=smime.p7m"
    ]  # fmt: skip
    assert message["Content-Transfer-Encoding"] == "base64"
    assert all(len(line) <= 76 for line in entity.split(b"\r\n"))
    assert b"\n" not in entity.replace(b"\r\n", b"")
    assert entity.isascii()
    assert b"CANARY" not in entity + mime.unwrap(entity, AUTH)  # SEC-18


def test_nothing_repeats_between_two_letters() -> None:
    one, two = (seal(PAYLOAD, patient()[0], signer()) for _ in range(2))
    first, second = (envelope(sealed).content for sealed in (one, two))
    assert one.content_key != two.content_key
    for part in (
        lambda data: data.content.algorithm.parameters.nonce,
        lambda data: data.content.ciphertext[:16],
        lambda data: data.recipients.as_list()[0].originator.public_key.as_bytes(),
    ):
        assert part(first) != part(second)


def test_a_sealed_letter_shows_no_key_where_it_is_printed() -> None:
    sealed = seal(PAYLOAD, patient()[0], signer())
    assert repr(sealed) == "Sealed()"
    assert "PRIVATE" not in repr(signer())
    assert "key" not in repr(signer())


@given(st.binary(max_size=3000))
def test_any_payload_comes_back_as_it_was(payload: bytes) -> None:
    assert opened(seal(payload, patient()[0], signer())) == payload


def envelope(sealed: Sealed) -> Any:
    return cms.decode(cms.AuthEnveloped, mime.unwrap(sealed.entity, AUTH))


# --- who may not -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_opens_nothing(kind: str) -> None:
    sealed = seal(PAYLOAD, patient(kind)[0], signer())
    for other in (patient(kind, "stranger")[1], patient("rsa-2048")[1], patient("p-384")[1]):
        if other is not patient(kind)[1]:
            with pytest.raises(LetterError, match="not for this recipient"):
                open_as_recipient(
                    sealed.entity, other, patient(kind)[0],
                    signer_certificate=signer().certificate,
                )  # fmt: skip


def test_a_letter_for_another_certificate_of_the_same_key_is_not_mine() -> None:
    renewed = replace(patient()[0], serial=patient()[0].serial + 1)
    renewed.__dict__.pop("name", None)
    sealed = seal(PAYLOAD, renewed, signer())
    with pytest.raises(LetterError, match="not for this recipient"):
        opened(sealed)


def test_another_content_key_opens_nothing() -> None:
    sealed = seal(PAYLOAD, patient()[0], signer())
    for other in (bytes(32), b"", sealed.content_key[:16], sealed.content_key + b"0"):
        with pytest.raises(LetterError, match=r"tag does not fit|not one of AES-256"):
            open_with_content_key(sealed.entity, other, signer_certificate=signer().certificate)


def test_a_letter_without_a_signature_is_refused() -> None:  # EML-21
    bare = encrypt_only(PAYLOAD, patient()[0])
    with pytest.raises(LetterError, match="signed-data"):
        opened(bare)


def test_a_letter_signed_by_another_is_refused() -> None:
    sealed = seal(PAYLOAD, patient()[0], signer("p-384"))
    with pytest.raises(LetterError, match="expected certificate"):
        opened(sealed)
