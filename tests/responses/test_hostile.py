"""Hostile messages: none stops the hour, none does more than its sender could anyway."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile

import pytest
from notices import Sent, dsn
from reengage.responses.letterbox import OCTETS, open_message, parts_of
from reengage.responses.recognise import recognise

LETTER = Sent(
    "letters@prairie.example.org", "0" * 32, "p0@example.org", "Message-ID: <a@b.test>", "a" * 32
)


def zip_of_death() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", b"\0" * 20_000_000)
    return packed.getvalue()


def nested(depth: int) -> bytes:
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth)
    )
    return b"From: x@y.test\n" + head


def parts(number: int) -> bytes:
    head = b"From: MAILER-DAEMON\nContent-Type: multipart/report; report-type=delivery-status;"
    return head + b' boundary="b"\n\n' + b"--b\nContent-Type: message/rfc822\n\nX: y\n\n" * number


HOSTILE = {
    "nothing": b"",
    "not even text": bytes(range(256)) * 100,
    "one endless line": b"Subject: " + b"x" * 3_000_000,
    "endless header": b"X: y\n" * 300_000,
    "10,000 parts": parts(10_000),
    "1,000 deep": nested(1000),
    "19 deep": nested(19),
    "messages in messages": b"Content-Type: message/rfc822\n\n" * 5000,
    "a charset of nobody's": dsn(LETTER).replace(b"us-ascii", b"x-none'; DROP TABLE letter"),
    "a charset in eight bits": dsn(LETTER).replace(b"us-ascii", b"\xff\xfe\x00"),
    "a charset by RFC 2231": dsn(LETTER).replace(b"charset=us-ascii", b"charset*=x'y'%ff%fe"),
    "base64 that is none": dsn(LETTER).replace(
        b"charset=us-ascii", b"charset=us-ascii\nContent-Transfer-Encoding: base64"
    ),
    "uuencode that is none": dsn(LETTER).replace(
        b"charset=us-ascii", b"charset=us-ascii\nContent-Transfer-Encoding: x-uuencode"
    ),
    "an action of nobody's": dsn(LETTER, "exploded\r\nBcc: x@y.test"),
    "a status of nobody's": dsn(LETTER, status="9.9.9'; DROP TABLE response; --"),
    "a message id across lines": dsn(LETTER, header="Message-ID: <a\n b@c\r\nBcc: x@y.test>"),
    "an ENVID that is none": dsn(LETTER, envid="../../etc/passwd"),
    "a boundary of nothing": b'Content-Type: multipart/mixed; boundary=""\n\n--\n\n--\n' * 40,
    "encoded words without end": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx",
    "addresses without end": b"From: " + b"<a@b.test>, " * 50_000 + b"\n\nx",
    "comments without end": b"From: " + b"(" * 100_000 + b"\n\nx",
    "a zip of death": b"Content-Type: application/zip\n\n" + zip_of_death(),
    "JSON without end": b'Content-Type: text/plain\n\n{"notificationType":"Bounce",'
    + b"[" * 200_000,
    "a notice that names a thousand": dsn(LETTER).replace(
        b"Action: failed",
        b"Action: failed\n\nFinal-Recipient: rfc822; a@b.test\nAction: failed" * 1000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_recognised_as_something_within_bounds(what: str) -> None:
    begun = time.process_time()
    found = recognise(HOSTILE[what])
    assert time.process_time() - begun < 3
    assert found.kind in ("bounce", "complaint", "opt_out", "auto_reply", "reply")
    assert len(found.reports) <= 50
    assert len(found.names.message_ids) <= 20


def test_fifty_megabytes_are_read_as_far_as_a_notice_is_long() -> None:
    content = dsn(LETTER) + b"A" * 50_000_000
    tracemalloc.start()
    found = recognise(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.kind, found.reports[0].hard) == ("bounce", True)
    assert peak < 20 * OCTETS


def test_what_has_too_many_parts_is_read_as_if_it_had_none() -> None:
    assert not open_message(parts(10_000)).is_multipart()
    assert not open_message(nested(21)).is_multipart()
    assert len(parts_of(open_message(parts(100)))) == 200  # each holds a message


def test_nothing_of_a_message_shows_in_what_is_made_of_it() -> None:
    """SEC-10: neither addresses nor tokens are in a repr that an error or a log would show."""
    shown = repr(recognise(dsn(LETTER, to="b-secret@bounce.test")))
    assert "p0@example.org" not in shown
    assert "b-secret" not in shown


def test_a_detector_that_stumbles_logs_nothing_of_the_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(message: object) -> None:
        raise LookupError("canary@example.org")

    monkeypatch.setattr("flufl.bounce._detectors.exim.Exim.process", lambda *_: stumble(None))
    caplog.set_level(0)
    prose = b"From: MAILER-DAEMON\nSubject: failure notice\n\nIt could not be delivered: <a@b.test>"
    assert recognise(prose).kind == "bounce"
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "undefined", '"x\0y"', "utf-8", "no-such-charset"]
)
def test_no_character_set_of_a_stranger_stops_the_mailbox(charset: str) -> None:
    head = (
        f"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}"
    )
    content = head.encode() + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nh\xf6ren Sie \xff\r\n"
    assert recognise(content).kind == "reply"
