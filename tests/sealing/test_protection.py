"""Header protection: the shape of RFC 9788's own example, and what stays outside."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.sealing.protection import protect

ENTITY = (
    b'Content-Type: text/plain; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: 7bit\r\n\r\nHello.\r\n"
)
FIELDS = (
    b"From: Prairie Family Health <letters@prairie.example.org>",
    b"To: given.family@example.org",
    b"Reply-To: front-desk@prairie.example.org",
    b"Subject: =?utf-8?q?Su_cita_en_Cl=C3=ADnica?=\r\n =?utf-8?q?_A=C3=B1il_CANARY?=",
    b"Date: Mon, 01 Jun 2026 12:00:00 +0000",
    b"Message-ID: <abc@prairie.example.org>",
    b"Auto-Submitted: auto-generated",
    b"List-Unsubscribe: <https://portal.prairie.example.org/opt-out/t>,\r\n <mailto:o@example.org>",
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    b"MIME-Version: 1.0",
)


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def test_the_payload_has_the_shape_of_the_rfcs_example() -> None:  # RFC 9788 appendix C.3.1
    fields = (
        b"Subject: smime-signed-enc-hp-baseline",
        b"Message-ID: <smime-signed-enc-hp-baseline@example>",
        b"From: Alice <alice@smime.example>",
        b"To: Bob <bob@smime.example>",
        b"Date: Sat, 20 Feb 2021 10:09:02 -0500",
    )
    outer, payload = protect(fields, b'Content-Type: text/plain; charset="utf-8"\r\n\r\nHello.\r\n')
    assert outer == (b"Subject: [...]", *fields[1:])
    assert payload.split(b"\r\n") == [
        *fields,
        b"HP-Outer: Subject: [...]",
        *(b"HP-Outer: " + field for field in fields[1:]),
        b'Content-Type: text/plain; charset="utf-8";',
        b' hp="cipher"',
        b"",
        b"Hello.",
        b"",
    ]


def test_the_outside_has_no_word_of_the_subject() -> None:  # EML-22
    outer, payload = protect(FIELDS, ENTITY)
    assert b"Subject: [...]" in outer
    assert b"CANARY" not in b"\r\n".join(outer)
    assert "Clínica Añil CANARY" in parsed(payload)["Subject"]


def test_every_reader_finds_the_fields_inside() -> None:
    outer, payload = protect(FIELDS, ENTITY)
    message = parsed(payload)
    assert message.get_content_type() == "text/plain"
    assert message["Content-Type"].params == {"charset": "utf-8", "hp": "cipher"}
    assert message.get_content() == "Hello.\r\n"
    assert message["To"] == "given.family@example.org"
    recorded = parsed(b"\r\n".join((*(v.encode() for v in message.get_all("HP-Outer")), b"", b"")))
    outside = parsed(b"\r\n".join((*outer, b"", b"")))
    assert [*recorded.items(), ("MIME-Version", "1.0")] == outside.items()


@pytest.mark.parametrize("name", [b"X-Clinic", b"Keywords", b"Comments", b"Sensitivity", b"Cc"])
def test_a_field_that_mail_does_not_need_is_inside_only(name: bytes) -> None:
    field = name + b": CANARY"
    outer, payload = protect((*FIELDS, field), ENTITY)
    assert field not in outer
    assert b"\r\n" + field + b"\r\n" in payload
    assert b"HP-Outer: " + name not in payload


def test_mime_version_tells_of_the_outside_only() -> None:
    outer, payload = protect(FIELDS, ENTITY)
    assert outer[-1] == b"MIME-Version: 1.0"
    assert b"MIME-Version" not in payload


def test_the_body_is_the_entitys_to_the_octet() -> None:
    entity = b"Content-Type: text/plain\r\n\r\nfirst\r\n\r\nsecond\r\n"
    assert protect(FIELDS, entity)[1].endswith(b'hp="cipher"\r\n\r\nfirst\r\n\r\nsecond\r\n')


BAD = {
    "no colon": ((b"Subject",), ENTITY),
    "a second field in one": ((b"Subject: a\r\nBcc: b@example.org",), ENTITY),
    "a bare line end": ((b"Subject: a\nBcc: b@example.org",), ENTITY),
    "a blank line": ((b"Subject: a\r\n\r\n body",), ENTITY),
    "the entity's field among the message's": ((b"Content-Type: text/html",), ENTITY),
    "an entity without a type": (FIELDS, b"Content-Transfer-Encoding: 7bit\r\n\r\nHello.\r\n"),
    "an entity with two types": (
        FIELDS, b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nHello.\r\n"
    ),
    "an entity with a subject": (FIELDS, b"Subject: a\r\n" + ENTITY),
    "no body": (FIELDS, b"Content-Type: text/plain\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_fields_and_an_entity_is_refused(case: str) -> None:
    with pytest.raises(LetterError):
        protect(*BAD[case])


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=200))
def test_no_subject_is_ever_outside(subject: str) -> None:
    outer, _ = protect((b"Subject: " + subject.encode(), *FIELDS[:2]), ENTITY)
    assert outer == (b"Subject: [...]", *FIELDS[:2])
