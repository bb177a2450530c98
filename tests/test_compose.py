"""Composed letters: headers by rules EML-01 to EML-07, bytes that repeat, signatures that hold."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from mailbox_of import KEY, parsed, pem, verifies
from reengage.compose import compose, opt_out_mailto
from reengage.errors import KeyringError, LetterError
from reengage.practice import is_address, load_practice
from reengage.templates import Rendered, load_template

HOME = Path(__file__).parents[1]
PRACTICE = load_practice(HOME / "practice.yaml")
TOKEN = "abcdefghijklmnopqrstuvwxyz234567"
FIELDS = {
    "date": "jueves, 15 de junio de 2023",
    "time": "9:30 a.m. CDT",
    "location": "Clínica Añil",
}
LETTER = load_template(HOME, "appointment_reminder", "es").render(
    FIELDS,
    PRACTICE,
    opt_out_url=PRACTICE.opt_out_url + TOKEN,
    opt_out_mailto=opt_out_mailto(PRACTICE, TOKEN),
)
ONCE = (
    "DKIM-Signature", "Date", "From", "To", "Subject", "Message-ID", "Reply-To", "MIME-Version",
    "Content-Type", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip


def composed(rendered: Rendered = LETTER, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "practice": PRACTICE,
        "recipient": "given.family.0123abcd@example.org",
        "message_id": f"<{TOKEN}@prairie.example.org>",
        "date": datetime(2023, 6, 1, 14, 0, tzinfo=UTC),
        "opt_out_token": TOKEN,
        "dkim_key": pem(KEY),
    }
    return compose(rendered, **{**arguments, **changes})


def test_each_header_stands_exactly_once() -> None:  # EML-01
    names = parsed(composed()).keys()
    assert sorted(names) == sorted(ONCE)


def test_headers_say_what_the_rules_ask() -> None:  # EML-03, EML-04, EML-05
    message = parsed(composed())
    assert message["From"] == "Prairie Family Health <letters@prairie.example.org>"
    assert message["To"] == "given.family.0123abcd@example.org"
    assert message["Reply-To"] == PRACTICE.reply_to
    assert message["Subject"] == "Un mensaje de Prairie Family Health"
    assert message["Date"].datetime == datetime(2023, 6, 1, 14, 0, tzinfo=UTC)
    assert message["Message-ID"] == f"<{TOKEN}@prairie.example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] == (
        f"<https://portal.prairie.example.org/opt-out/{TOKEN}>,"
        f" <mailto:opt-out@prairie.example.org?subject=unsubscribe%20{TOKEN}>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_the_letter_arrives_as_rendered_text_first() -> None:
    message = parsed(composed())
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().splitlines() == LETTER.text.splitlines()
    assert html.get_content().splitlines() == LETTER.html.splitlines()


def test_lines_are_short_seven_bit_and_end_in_crlf() -> None:  # EML-01
    content = composed()
    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")
    head, _, body = content.partition(b"\r\n\r\n")
    assert max(map(len, body.split(b"\r\n"))) <= 78
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert content.endswith(b"\r\n")


def test_a_part_of_one_long_line_ends_its_soft_breaks_in_crlf_too() -> None:
    content = composed(Rendered("subject", "x" * 200, "é" * 200))
    assert content.count(b"\n") == content.count(b"\r\n")


def test_no_header_but_to_holds_anything_of_the_patient() -> None:  # TRK-05
    head = composed().partition(b"\r\n\r\n")[0].decode()
    assert "given.family" not in re.sub(r"(?m)^To: .*$", "", head)
    for value in FIELDS.values():
        assert value not in head


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert composed() == composed()


def test_another_message_id_gives_another_boundary() -> None:
    other = parsed(composed(message_id="<other@prairie.example.org>"))
    assert other.get_boundary() != parsed(composed()).get_boundary()


def test_the_signature_verifies_and_covers_the_headers() -> None:  # EML-06, EML-30
    content = composed()
    assert verifies(content)
    signature = re.sub(r"\s", "", parsed(content)["DKIM-Signature"])
    covered = re.search(r";h=([^;]*);", signature)
    assert covered is not None
    assert set(covered.group(1).split(":")) == set(ONCE[1:])
    assert {"t=1685628000", "d=prairie.example.org", "c=relaxed/simple", "a=rsa-sha256"} < set(
        signature.split(";")
    )


@pytest.mark.parametrize("name", ONCE[1:])
def test_the_signature_breaks_when_a_header_is_removed(name: str) -> None:  # EML-06
    pattern = rb"(?m)^" + name.encode() + rb":.*\r\n(?:[ \t].*\r\n)*"
    head, split, body = composed().partition(b"\r\n\r\n")
    signature, rest = re.split(rb"\r\n(?=From:)", head, maxsplit=1)
    stripped, count = re.subn(pattern, b"", rest + b"\r\n")
    assert count == 1
    assert not verifies(signature + b"\r\n" + stripped + split[2:] + body)


@pytest.mark.parametrize("name", ONCE[1:])
def test_the_signature_breaks_when_a_second_header_is_added(name: str) -> None:
    forged = composed().replace(b"\r\nFrom:", b"\r\n" + name.encode() + b": x@y.org\r\nFrom:", 1)
    assert not verifies(forged)


def test_the_signature_breaks_when_the_body_changes() -> None:
    assert not verifies(composed().replace(b"402-555-0100", b"402-555-0199", 1))


def test_a_relay_that_refolds_white_space_does_not_break_the_signature() -> None:
    assert verifies(composed().replace(b"Subject: Un mensaje", b"Subject:\r\n  Un   mensaje"))


def test_without_a_key_there_is_no_signature_and_else_the_same() -> None:
    signed, unsigned = composed(), composed(dkim_key=None)
    assert "DKIM-Signature" not in parsed(unsigned)
    assert signed.endswith(unsigned)


@pytest.mark.parametrize(
    "key",
    [
        b"no key",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    ],
    ids=["not PEM", "not RSA", "too short"],
)
def test_a_key_that_cannot_sign_is_refused(key: bytes) -> None:
    with pytest.raises(KeyringError, match="RSA key in PEM of 2048 bits"):
        composed(dkim_key=key)


@pytest.mark.parametrize("ending", ["\r\nBcc: all@example.org", "\n", "\r", "\x00", "\u2028x"])
def test_no_argument_can_open_a_header_of_its_own(ending: str) -> None:  # EML-02
    for changes in (
        {"recipient": "canary@example.org" + ending},
        {"message_id": f"<canary@example.org>{ending}"},
        {"opt_out_token": "canary" + ending},
        {"rendered": replace(LETTER, subject="canary" + ending)},
    ):
        with pytest.raises(LetterError) as error:
            composed(**changes)
        assert "canary" not in str(error.value)


@given(st.text(max_size=40).map(lambda text: f"{text}@example.org"))
def test_an_address_is_written_as_it_is_or_refused_without_being_told(address: str) -> None:
    if is_address(address):
        message = parsed(composed(recipient=address, dkim_key=None))
        assert [mailbox.addr_spec for mailbox in message["To"].addresses] == [address]
    else:
        with pytest.raises(LetterError, match="a recipient's address is not well-formed"):
            composed(recipient=address, dkim_key=None)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.text(max_size=300))
def test_any_text_comes_through_unharmed(subject: str, body: str) -> None:
    body = "\n".join(body.replace("\x00", "").splitlines())
    message = parsed(composed(Rendered(subject, body, body), dkim_key=None))
    assert message["Subject"] == subject
    assert max(map(len, bytes(message).splitlines())) <= 998
    for part in message.iter_parts():
        assert part.get_content().replace("\r\n", "\n").rstrip("\n") == body.rstrip("\n")


def test_a_long_accented_practice_name_is_encoded_and_read_back() -> None:
    name = (
        "Clínica Familiar de la Pradera, Niñez y Juventud (Señora Ibáñez y Compañía) del Río Añil"
    )
    content = composed(practice=PRACTICE.model_copy(update={"from_name": name}))
    assert parsed(content)["From"].addresses[0].display_name == name
    assert max(map(len, content.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 98
    assert verifies(content)


def test_a_date_without_time_zone_is_refused() -> None:
    with pytest.raises(LetterError, match="no time zone"):
        composed(date=datetime(2023, 6, 1))  # noqa: DTZ001
