"""Traces of letters in mailboxes, delivery notices and logs, as the programs that make them write.

Action and Status are read for each recipient (RFC 3464 section 2.3): a final failure may carry
a 4.x.x.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from reengage.errors import ConfigurationError
from reengage.pipeline.traces import Trace, of_notice, traces_in

ID = "<0b7e.4711@letters.example.org>"
ENVID = "0b7e2f6c11d24a7d9c9a8f3e5d6c7b8a-0123456789abcdef"
CANARY = "canary@patient.example"


def notice(action: str, status: str, *, returned: str = "text/rfc822-headers") -> bytes:
    """As Postfix writes one (RFC 3464), with the header of the letter returned."""
    original = (
        f"From: letters@example.org\r\nTo: {CANARY}\r\nMessage-ID: {ID}\r\nSubject: s\r\n\r\n"
    )
    return f"""\
Return-Path: <>\r
Date: Mon, 02 Jun 2025 17:00:00 +0000 (UTC)\r
From: MAILER-DAEMON@relay.example.net\r
Subject: Undelivered Mail Returned to Sender\r
Message-Id: <20250602170000.4bX1@relay.example.net>\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\r
\r
This is a MIME-encapsulated message.\r
\r
--b1\r
Content-Type: text/plain; charset=us-ascii\r
\r
<{CANARY}>: host mx.example said: 550 no such user\r
\r
--b1\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; relay.example.net\r
Original-Envelope-Id: {ENVID.upper()}\r
Arrival-Date: Mon, 02 Jun 2025 16:59:00 +0000 (UTC)\r
\r
Final-Recipient: rfc822; {CANARY}\r
Action: {action}\r
Status: {status}\r
Diagnostic-Code: smtp; 550 5.1.1 <{CANARY}> unknown\r
\r
--b1\r
Content-Type: {returned}\r
\r
{original}\r
--b1--\r
""".encode()


NOTICES = {
    "failed": ("failed", "5.1.1", "refused", "failed 5.1.1"),
    "failed for good with 4.x.x": ("failed", "4.4.1", "refused", "failed 4.4.1"),
    "delayed": ("delayed", "4.4.1", "sent", "delayed 4.4.1"),
    "delivered": ("delivered", "2.0.0", "sent", "delivered 2.0.0"),
    "relayed": ("Relayed", "2.0.0 (sent on)", "sent", "relayed 2.0.0"),
    "no status": ("failed", "?", "refused", "failed"),
}


@pytest.mark.parametrize("case", NOTICES)
def test_a_notice_says_what_its_action_says(case: str) -> None:
    action, status, says, detail = NOTICES[case]
    found = list(of_notice(notice(action, status)))
    assert [(one.letter, one.says, one.kind, one.detail) for one in found] == [
        (ENVID.upper(), says, "notice", detail),
        (ID, says, "notice", detail),
    ]


@pytest.mark.parametrize("returned", ["text/rfc822-headers", "message/rfc822"])
def test_the_letter_is_known_by_what_was_returned_of_it(returned: str) -> None:
    found = list(of_notice(notice("failed", "5.1.1", returned=returned)))
    assert found[-1].letter == ID


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b--\r\n",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\nno parts",
        notice("eaten", "5.1.1"),
        notice("failed", "5.1.1")[:700],
        b"",
        b"\x00\xff" * 500,
    ],
)
def test_what_is_no_notice_says_nothing(content: bytes) -> None:
    assert list(of_notice(content)) == []


LOG = f"""\
Jun  2 17:00:01 mx postfix/smtps/smtpd[71]: connect from worker[10.0.0.5]
Jun  2 17:00:01 mx postfix/smtps/smtpd[71]: 4bX1aa11: client=worker[10.0.0.5]
Jun  2 17:00:01 mx postfix/cleanup[72]: 4bX1aa11: message-id={ID}
Jun  2 17:00:01 mx postfix/qmgr[73]: 4bX1aa11: from=<letters@example.org>, nrcpt=1 (queue active)
"""


def logged(tmp_path: Path, *more: str) -> list[Trace]:
    path = tmp_path / "mail.log"
    path.write_text(LOG + "".join(f"{line}\n" for line in more), encoding="utf-8")
    return list(traces_in(path))


DELIVERY = "Jun  2 17:00:02 mx postfix-a/smtp[74]: 4bX1aa11: to=<canary@patient.example>, relay=mx[1.2.3.4]:25, delay=1, dsn={}, status={} (said: canary)"  # noqa: E501 - a line of a log


def test_a_letter_in_the_relays_queue_was_taken(tmp_path: Path) -> None:
    assert logged(tmp_path) == [Trace(ID, "sent", "log", "in the queue")]


@pytest.mark.parametrize(
    ("dsn", "status", "says"),
    [
        ("2.0.0", "sent", "sent"),
        ("4.4.1", "deferred", "sent"),
        ("5.1.1", "bounced", "refused"),
    ],
)
def test_a_log_says_what_became_of_it(tmp_path: Path, dsn: str, status: str, says: str) -> None:
    found = logged(tmp_path, DELIVERY.format(dsn, status))
    assert found[1:] == [Trace(ID, says, "log", f"{status} {dsn}")]  # type: ignore[arg-type]
    assert "canary" not in str(found)


@pytest.mark.parametrize("status", ["expired", "force-expired"])
def test_one_that_expired_in_the_queue_was_returned(tmp_path: Path, status: str) -> None:
    line = f"Jun  7 17:00:02 mx postfix/qmgr[73]: 4bX1aa11: from=<letters@example.org>, status={status}, returned to sender"  # noqa: E501 - a line of a log
    assert logged(tmp_path, line)[-1] == Trace(ID, "refused", "log", "expired")


def test_a_log_that_was_rotated_and_compressed_is_read(tmp_path: Path) -> None:
    (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(LOG.encode()))
    assert list(traces_in(tmp_path)) == [Trace(ID, "sent", "log", "in the queue")]


def test_a_message_id_alone_is_a_letter_that_was_cut_off(tmp_path: Path) -> None:
    """Postfix logs it with the header, before the final dot."""
    path = tmp_path / "mail.log"
    path.write_text("".join(LOG.splitlines(keepends=True)[:3]), encoding="utf-8")
    assert list(traces_in(path)) == []


def test_a_maildir_knows_the_letters_in_it(tmp_path: Path) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
    (tmp_path / "new" / "1.mx").write_bytes(f"Message-ID: {ID}\r\nTo: {CANARY}\r\n\r\nhi".encode())
    (tmp_path / "cur" / "2.mx:2,S").write_bytes(notice("failed", "5.1.1"))
    (tmp_path / "cur" / "3.mx:2,S").write_bytes(b"From: x@example.org\r\n\r\nno id")
    (tmp_path / "cur" / "4").write_bytes(b"\xff\x00 nothing at all")
    found = list(traces_in(tmp_path))
    assert [(one.kind, one.says) for one in found] == [
        ("notice", "refused"), ("notice", "refused"), ("mailbox", "sent"),
    ]  # fmt: skip
    assert CANARY not in str(found)


def test_a_folded_message_id_is_found(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_bytes(f"Message-ID:\r\n {ID}\r\n\r\n".encode())
    assert [one.letter for one in traces_in(path)] == [ID]


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no file and no directory"):
        list(traces_in(tmp_path / "nothing"))
