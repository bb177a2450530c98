"""Recognise: what kind of message came; no person's message is a bounce, whatever it quotes."""

from __future__ import annotations

import pytest
from notices import Sent, answer, complaint, dsn, on_holiday, unsubscribe
from reengage.responses.recognise import Names, recognise

TOKEN = "abcdefghijklmnopqrstuvwxyz234567"
LETTER = Sent(
    "letters@prairie.example.org",
    "0123456789abcdef0123456789abcdef-0123456789abcdef",
    "p0@example.org",
    "From: letters@prairie.example.org\nTo: p0@example.org\nMessage-ID: <abc@prairie.example.org>",
    TOKEN,
)
QUOTED = """I got this back, what does it mean?

> This is the mail system at host mx.test.
> <p0@example.org>: host mx.test said: 550 5.1.1 User unknown
> Undelivered Mail Returned to Sender. Delivery has failed to these recipients.
> Final-Recipient: rfc822; p0@example.org
> Action: failed
> Status: 5.1.1
"""


def test_a_notice_names_its_letter_and_says_what_became_of_it() -> None:
    found = recognise(dsn(LETTER))
    assert found.kind == "bounce"
    assert found.names.envids == (LETTER.envid,)
    assert found.names.message_ids == ("<abc@prairie.example.org>",)
    [report] = found.reports
    assert (report.action, report.hard, report.diagnosis.status) == ("failed", True, "5.1.1")
    assert report.addresses == ("p0@example.org",)


def test_failed_is_final_whatever_its_status_and_delayed_is_not() -> None:
    """EML-09."""
    [expired] = recognise(dsn(LETTER, "failed", "4.4.1", "smtp; 421 timed out")).reports
    assert (expired.action, expired.hard) == ("failed", False)
    [delayed] = recognise(dsn(LETTER, "delayed", "5.1.1")).reports
    assert (delayed.action, delayed.hard) == ("delayed", False)


@pytest.mark.parametrize("feedback", ["abuse", "not-spam", "fraud", "x" * 500])
def test_a_complaint_is_known_with_its_type(feedback: str) -> None:
    found = recognise(complaint(LETTER, feedback))
    assert (found.kind, found.feedback) == ("complaint", feedback[:40])
    assert found.names.message_ids == ("<abc@prairie.example.org>",)


def test_an_opt_out_is_the_word_and_the_token_in_the_subject() -> None:
    found = recognise(unsubscribe(TOKEN))
    assert (found.kind, found.names) == ("opt_out", Names(tokens=(TOKEN,)))
    assert recognise(unsubscribe(TOKEN.upper())).names.tokens == (TOKEN,)
    assert recognise(unsubscribe(TOKEN).replace(b"unsubscribe", b"fwd:")).kind == "reply"
    assert recognise(unsubscribe("x")).kind == "reply"


def test_an_automatic_answer_is_no_bounce_and_no_persons() -> None:
    assert recognise(on_holiday(LETTER)).kind == "auto_reply"
    submitted = answer(LETTER).replace(b"Subject:", b"Auto-Submitted: auto-generated\nSubject:")
    assert recognise(submitted).kind == "auto_reply"
    by_a_person = answer(LETTER).replace(b"Subject:", b"Auto-Submitted: no\nSubject:")
    assert recognise(by_a_person).kind == "reply"


@pytest.mark.parametrize(
    "text",
    [
        "Thank you!",
        QUOTED,
        "My old mailbox is full, user unknown, undeliverable: please write to another address.",
        "unsubscribe me from these letters please",
        "550 5.1.1 User unknown",
    ],
)
def test_a_persons_message_is_no_bounce_whatever_it_says(text: str) -> None:
    for subject in ("Re: your letter", "Undelivered Mail Returned to Sender", "failure notice",
                    "Fwd: Delivery Status Notification (Failure)"):  # fmt: skip
        content = answer(LETTER, text).replace(b"Re: your letter", subject.encode())
        found = recognise(content)
        assert (found.kind, found.names, found.reports) == ("reply", Names(), ())


def test_a_persons_message_with_the_notice_attached_is_theirs() -> None:
    forwarded = (
        b"""From: Given <p0@example.org>
To: office@prairie.example.org
Subject: Fwd: Undelivered Mail
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_outer"

--=_outer
Content-Type: text/plain

see below
--=_outer
Content-Type: message/rfc822

"""
        + dsn(LETTER)
        + b"\n--=_outer--\n"
    )
    assert recognise(forwarded).kind == "reply"


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic refill of my prescription", "Automatic payments: please call me",
        "Out of the office this week, can I move my appointment?", "Auto-reply?",
    ],
)  # fmt: skip
def test_a_persons_subject_makes_no_automatic_answer(subject: str) -> None:
    content = (
        f"From: p@example.org\r\nSubject: {subject}\r\n\r\nI have chest pain, please call.\r\n"
    )
    assert recognise(content.encode()).kind == "reply"
