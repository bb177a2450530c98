"""What is said of one letter in the SMTP that a relay speaks, or why it cannot be said in it.

Promises: no address and no line end of a letter can end a command early or smuggle in another;
what a letter needs (8BITMIME, SMTPUTF8, its size) is asked for where it is offered, and where it is
not the letter is refused here, with the enhanced code that a relay would give (RFC 3463, RFC 6531).
Return of the full letter is declined where the relay knows delivery notices (EML-08). No letter
waives TLS (EML-19).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from reengage.errors import ConfigurationError, LetterError
from reengage.relay_replies import Outcome

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# RFC 5321 section 4.1.2. What does not match could end the command early and start another.
_MAILBOX = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
    rf"@(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9:.]+\])"
)
_ENVID = re.compile(r"[A-Za-z0-9._-]{1,100}")
# RFC 8689 section 5: a header with which a letter would ask for cleartext.
_TLS_NOT_REQUIRED = re.compile(rb"^tls-required[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The commands for one letter, each with its line end, and its octets as they are to arrive."""

    mail: bytes = field(repr=False)
    rcpt: bytes = field(repr=False)
    content: bytes = field(repr=False)

    def dotted(self) -> bytes:
        """The content for DATA, its end included (RFC 5321 section 4.5.2)."""
        first = b"." if self.content.startswith(b".") else b""
        # Every line end is CRLF by now. Without a regular expression: three times as fast.
        return first + self.content.replace(b"\n.", b"\n..") + b".\r\n"

    def chunk(self) -> bytes:
        """The content for BDAT, whole and as it is (RFC 3030 section 2)."""
        return b"BDAT %d LAST\r\n" % len(self.content) + self.content


def put_in_envelope(
    offers: Mapping[str, str],
    sender: str,
    recipient: str,
    message: bytes,
    *,
    envid: str,
    requiretls: bool,
) -> Envelope | Outcome:
    """The letter in the words of a relay with these offers, or that it is refused.

    Raises ConfigurationError for a sender that is no address, LetterError for a letter that waives
    TLS, ValueError for an envid that is not opaque.
    """
    if not _ENVID.fullmatch(envid):
        raise ValueError("envid is an opaque token of 1 to 100 letters, digits, . _ or -")
    if not _MAILBOX.fullmatch(sender):
        raise ConfigurationError("the sender is no mail address; mend practice.yaml")
    utf8_address = not recipient.isascii()
    if not _is_mailbox(recipient):  # 5.1.3: bad destination mailbox address syntax
        return Outcome("refused", "rcpt", None, "5.1.3")
    if utf8_address and "smtputf8" not in offers:
        return Outcome("refused", "rcpt", None, "5.6.7")
    content = _normalised(message)
    head = content[: content.find(b"\r\n\r\n")]
    _require_tls_is_not_waived(head)
    needs_8bit = not content.isascii()
    utf8 = utf8_address or (needs_8bit and not head.isascii())
    if code := _unfit(offers, len(content), needs_8bit=needs_8bit, utf8=utf8):
        return Outcome("refused", "mail", None, code)
    notices = "dsn" in offers  # without RET=HDRS a bounce may return the whole letter (EML-08)
    mail = [
        f"MAIL FROM:<{sender}>",
        f" SIZE={len(content)}" if "size" in offers else "",
        " BODY=8BITMIME" if needs_8bit else "",
        " SMTPUTF8" if utf8 else "",
        f" RET=HDRS ENVID={envid}" if notices else "",
        " REQUIRETLS" if requiretls else "",
        "\r\n",
    ]
    rcpt = f"RCPT TO:<{recipient}>{' NOTIFY=FAILURE,DELAY' if notices else ''}\r\n"
    return Envelope("".join(mail).encode("ascii"), rcpt.encode(), content)


def _unfit(offers: Mapping[str, str], octets: int, *, needs_8bit: bool, utf8: bool) -> str | None:
    """The code for what the relay cannot take: a conversion is not ours to make (RFC 6152)."""
    if needs_8bit and "8bitmime" not in offers:
        return "5.6.3"  # conversion required but not supported
    if utf8 and "smtputf8" not in offers:
        return "5.6.9"  # a header in UTF-8 that cannot be transmitted
    most = offers.get("size", "")
    if most.isdecimal() and 0 < int(most) < octets:  # 0: no fixed maximum (RFC 1870 section 4)
        return "5.3.4"  # message too big for system
    return None


def _is_mailbox(address: str) -> bool:
    """RFC 5321's, and RFC 6531's: there, what is not ASCII and can be printed is of an atom."""
    if address.isascii():
        return _MAILBOX.fullmatch(address) is not None
    plain = "".join(one if one.isascii() else "x" for one in address)
    return address.isprintable() and _MAILBOX.fullmatch(plain) is not None


def _require_tls_is_not_waived(head: bytes) -> None:
    if b"tls-required" in head.lower() and _TLS_NOT_REQUIRED.search(head):
        raise LetterError(
            "a letter has the header TLS-Required, which can only waive TLS (RFC 8689 section 5);"
            " remove it from the template; nothing was sent"
        )


def _normalised(message: bytes) -> bytes:
    """CRLF line ends throughout: around a bare CR or LF a second letter could be smuggled in."""
    return b"\r\n".join(message.splitlines()) + b"\r\n"
