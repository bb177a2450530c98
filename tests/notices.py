"""Messages that come back of a letter, as servers and people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes

from simulators.smtp import Accepted


@dataclass(frozen=True)
class Sent:
    """A letter as a relay took it."""

    envelope_from: str
    envid: str
    recipient: str
    header: str
    token: str

    @classmethod
    def of(cls, letter: Accepted) -> Sent:
        message = message_from_bytes(letter.content)
        header = letter.content.partition(b"\r\n\r\n")[0].decode()
        found = re.search(r"unsubscribe%20([a-z2-7]{32})", str(message["List-Unsubscribe"]))
        envid = re.search(r"ENVID=(\S+)", letter.mail)
        assert found
        assert envid
        return cls(
            letter.mail.partition("<")[2].partition(">")[0],
            envid[1],
            letter.rcpt.partition("<")[2].partition(">")[0],
            header,
            found[1],
        )

    @property
    def letter_id(self) -> str:
        """Of our letter: what its ENVID says before the tag."""
        return self.envid.partition("-")[0]

    @property
    def message_id(self) -> str:
        return str(message_from_bytes(self.header.encode())["Message-ID"])


def dsn(
    letter: Sent,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 User unknown",
    *,
    recipient: str | None = None,
    envid: str | None = None,
    header: str | None = None,
    to: str = "letters@prairie.example.org",
) -> bytes:
    """A delivery status notification as Postfix writes it."""
    named = recipient or letter.recipient
    envid = letter.envid if envid is None else envid
    named_by = f"Original-Envelope-Id: {envid}" if envid else "X-None: x"
    return f"""Return-Path: <>
Delivered-To: {to}
Date: Mon, 2 Jun 2025 12:00:00 -0500 (CDT)
From: MAILER-DAEMON@mx.test (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="=_report"

--=_report
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.test.

<{named}>: host mx.test said: {diagnostic.partition(";")[2].strip()}

--=_report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test
{named_by}

Final-Recipient: rfc822; {named}
Original-Recipient: rfc822;{named}
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}

--=_report
Content-Type: text/rfc822-headers

{letter.header if header is None else header}

--=_report--
""".replace("\r\n", "\n").encode()


def complaint(letter: Sent, feedback: str = "abuse") -> bytes:
    """A feedback report (RFC 5965), the whole letter attached."""
    return f"""Return-Path: <feedback@isp.test>
From: <feedback@isp.test>
To: <letters@prairie.example.org>
Subject: FW: something
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="=_part"

--=_part
Content-Type: text/plain

This is an abuse report for a message received on Mon, 2 Jun 2025.

--=_part
Content-Type: message/feedback-report

Feedback-Type: {feedback}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Rcpt-To: <{letter.recipient}>
X-Unknown-Field: whatever

--=_part
Content-Type: message/rfc822

{letter.header}

what the letter said
--=_part--
""".replace("\r\n", "\n").encode()


def unsubscribe(token: str, sender: str = "p0@example.org") -> bytes:
    """What a mail client makes of the letter's mailto: opt-out."""
    return f"""Return-Path: <{sender}>
From: Somebody <{sender}>
To: opt-out@prairie.example.org
Subject: unsubscribe {token}
Message-ID: <x@client.test>

This message was automatically generated.
""".encode()


def on_holiday(letter: Sent) -> bytes:
    """An automatic answer (RFC 3834)."""
    return f"""Return-Path: <>
From: <{letter.recipient}>
To: letters@prairie.example.org
Subject: Out of office
Auto-Submitted: auto-replied
In-Reply-To: {letter.message_id}

I am away until Monday.
""".encode()


def answer(letter: Sent, text: str = "Thank you, I will call you tomorrow.") -> bytes:
    """A person's answer."""
    return f"""Return-Path: <{letter.recipient}>
From: Given <{letter.recipient}>
To: office@prairie.example.org
Subject: Re: your letter
In-Reply-To: {letter.message_id}
References: {letter.message_id}
Message-ID: <answer@client.test>

{text}
""".encode()
