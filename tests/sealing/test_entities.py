"""The MIME entity around a structure: written strictly, read as others write it."""

from __future__ import annotations

import base64
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.sealing import mime

AUTH, OPAQUE = "authEnveloped-data", "signed-data"


GOOD = mime.wrap(b"hello", AUTH)


@pytest.mark.parametrize(
    "entity",
    [
        GOOD.replace(b"\r\n", b"\n"),
        GOOD.replace(b"smime-type=authEnveloped-data", b'smime-type="authenveloped-data"'),
        GOOD.replace(b"base64", b" BASE64 "),
        b"MIME-Version: 1.0\r\n" + GOOD,
    ],
)
def test_an_entity_is_read_as_others_write_it(entity: bytes) -> None:
    assert mime.unwrap(entity, AUTH) == b"hello"


@pytest.mark.parametrize(
    "entity",
    [
        b"",
        b"\r\n\r\n",
        GOOD.replace(b"authEnveloped-data", b"enveloped-data"),
        GOOD.replace(b"authEnveloped-data", b"signed-data"),
        GOOD.replace(b"pkcs7-mime", b"octet-stream"),
        GOOD.replace(b"base64", b"quoted-printable"),
        GOOD.replace(b"aGVsbG8=", b"aGVsbG8"),
        GOOD.replace(b"aGVsbG8=", b"aGVs!bG8="),
        GOOD.replace(b"aGVsbG8=", b"aGVsbG8=aGVsbG8="),
        GOOD + b"--a boundary\r\n",
    ],
)
def test_an_entity_of_another_kind_or_damaged_is_refused(entity: bytes) -> None:
    with pytest.raises(LetterError):
        mime.unwrap(entity, AUTH)


@given(st.binary(max_size=6000))
def test_wrapping_is_what_every_mail_library_reads(octets: bytes) -> None:
    entity = mime.wrap(octets, OPAQUE)
    assert message_from_bytes(entity).get_payload(decode=True) == octets
    assert mime.unwrap(entity, OPAQUE) == octets
    body = entity.split(b"\r\n\r\n", 1)[1]
    assert body == base64.encodebytes(octets).replace(b"\n", b"\r\n")
