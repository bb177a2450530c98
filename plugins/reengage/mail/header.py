"""Header fields of a letter by rules EML-01 to EML-05; none holds more of a patient than To does.

A field is its octets without the last CRLF, folded where it allows that, 7-bit, at most 998 a line.
Refused with a LetterError that tells no value: an address that is not plainly formed, a subject or
Message-ID that could break out of its line (EML-02), a date without time zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from reengage.errors import LetterError
from reengage.mail.fields import has_control
from reengage.practice import Practice, is_address

MIME_VERSION = b"MIME-Version: 1.0"
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+>")
_AUTO_SUBMITTED = b"Auto-Submitted: auto-generated"
_ONE_CLICK = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"


@dataclass(frozen=True)
class Header:
    """The fields that are the same in every letter of a practice with this subject."""

    sender: bytes
    reply_to: bytes
    subject: bytes

    @classmethod
    def of(cls, practice: Practice, subject: str) -> Header:
        """Raises LetterError for a subject that is not one line of text."""
        if has_control(subject) or not subject.strip():
            raise LetterError("a subject is empty or holds a line break; mend the template")
        sender = str(Address(practice.from_name, addr_spec=practice.from_address))
        return cls(
            _folded("From", sender),
            _folded("Reply-To", practice.reply_to),
            _folded("Subject", subject),
        )

    def fields(
        self,
        *,
        recipient: str,
        message_id: str,
        date: datetime,
        opt_out_url: str,
        opt_out_mailto: str,
    ) -> tuple[bytes, ...]:
        """All but those of the content, in order. The opt-outs stand as they are: a `Links`' own.

        Raises LetterError.
        """
        if not is_address(recipient):
            raise LetterError("a recipient's address is not well-formed; mend it in the source")
        if not _MESSAGE_ID.fullmatch(message_id):
            raise LetterError("a Message-ID is malformed; report this as a defect")
        if date.tzinfo is None:
            raise LetterError("a letter's date has no time zone; report this as a defect")
        return (
            self.sender,
            f"To: {recipient}".encode("ascii"),
            self.reply_to,
            self.subject,
            f"Date: {format_datetime(date)}".encode("ascii"),
            f"Message-ID: {message_id}".encode("ascii"),
            _AUTO_SUBMITTED,
            f"List-Unsubscribe: <{opt_out_url}>,\r\n <{opt_out_mailto}>".encode("ascii"),
            _ONE_CLICK,
        )


@lru_cache(maxsize=64)
def _folded(name: str, value: str) -> bytes:
    """A field whose text may need encoding (RFC 2047). Few values: the practice's own."""
    parsed = SMTP.header_factory(name, value)
    return str(parsed.fold(policy=SMTP)).removesuffix("\r\n").encode("ascii")
