"""Traces: what a mailbox, a delivery notice or a relay's log says of a letter, read from files.

Read with the standard library, within bounds, and told apart by content: a delivery status
notification (RFC 3464, RFC 6522) by its content type, any other mail by its header, everything else
is taken for a log of Postfix's. A letter is known again by its Message-ID or its ENVID, both random
and ours. Nothing else of a file is kept: neither an address nor a relay's text (EML-09, SEC-10).

    found                                               says
    the letter itself in a mailbox                      sent
    notice: delivered, relayed, expanded, delayed       sent: the relay took it
    notice: failed                                      refused, whatever the status' first digit
    log: in the queue, sent, deferred                   sent: the relay took it
    log: bounced, expired                               refused
    log: a Message-ID and no queue                      nothing: the content was cut off
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from io import BufferedReader
from pathlib import Path
from typing import Literal

from reengage.errors import ConfigurationError
from reengage.return_path import ENVID

Says = Literal["sent", "refused"]
Kind = Literal["mailbox", "notice", "log"]

HEADER_OCTETS = 256 * 1024
NOTICE_OCTETS = 4 * 1024 * 1024
LINE_OCTETS = 8 * 1024

_HEADER = re.compile(rb"\A(?:From [^\n]*\n)?[!-9;-~]+:(?:\r?\n)?[ \t]")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_ACTIONS: dict[str, Says] = {
    "delivered": "sent", "relayed": "sent", "expanded": "sent", "delayed": "sent",
    "failed": "refused",
}  # fmt: skip
# "Jun  2 10:00:00 mx postfix/cleanup[77]: 4bX1: message-id=<...>"; an instance has its own name.
_LINE = re.compile(rb"postfix[\w.-]*(?:/[\w.-]+)*/(\w+)\[\d+\]: ([0-9A-Za-z]{6,20}): ([^\r\n]*)")
_LOGGED_ID = re.compile(rb"message-id=(<[^<>\s]{1,998}>)")
_LOGGED_STATUS = re.compile(rb"(?:^|, )dsn=([245]\.\d{1,3}\.\d{1,3}), status=(\w+)")
# qmgr's own line has no dsn=: "from=<...>, status=expired, returned to sender".
_LOGGED_EXPIRED = re.compile(rb"\Afrom=<[^>]*>, status=(?:force-)?expired\b")
_LOGGED: dict[bytes, Says] = {
    b"sent": "sent", b"deferred": "sent", b"bounced": "refused", b"expired": "refused",
}  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """One place that knows of a letter."""

    letter: str
    """Its Message-ID, `<...>`, or its ENVID."""
    says: Says
    kind: Kind
    detail: str
    """Action or status and code: `failed 5.1.1`, `in the queue`."""

    @property
    def weight(self) -> int:
        """What outweighs what: a final failure every sign that the relay took the letter."""
        return int(self.says == "refused")


def traces_in(path: Path) -> Iterator[Trace]:
    """Every trace in a file, or in all files below a directory (a Maildir, a folder of notices).

    Raises ConfigurationError where there is nothing to read.
    """
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
    elif path.is_file():
        files = [path]
    else:
        raise ConfigurationError(f"{path} is no file and no directory; name one that is there")
    for file in files:
        try:
            yield from _of_file(file)
        except (OSError, EOFError) as error:  # EOFError: a compressed file that was cut off
            raise ConfigurationError(
                f"{file.name} cannot be read ({_why(error)}); mend its rights or leave it out"
            ) from None


def _why(error: OSError | EOFError) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _opened(file: Path) -> gzip.GzipFile | BufferedReader:
    """The file, or what is in it where it was compressed (a log that was rotated)."""
    with file.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rb") if compressed else file.open("rb")


def _of_file(file: Path) -> Iterator[Trace]:
    with _opened(file) as opened:
        head = opened.read(HEADER_OCTETS)
    if not _HEADER.match(head):
        yield from _of_log(file)
        return
    header = BytesHeaderParser().parsebytes(head)
    if header.get_content_type() == "multipart/report":
        with _opened(file) as opened:
            yield from of_notice(opened.read(NOTICE_OCTETS))
    elif message_id := _message_id(header):
        yield Trace(message_id, "sent", "mailbox", "the letter itself")


def of_notice(content: bytes) -> Iterator[Trace]:
    """What a delivery status notification says, by the letter's ENVID and by its Message-ID."""
    report = message_from_bytes(content)
    if str(report.get_param("report-type") or "").lower() != "delivery-status":
        return
    parts = _parts(report)
    status = next((p for p in parts if p.get_content_type().endswith("delivery-status")), None)
    found = _action(status)
    if status is None or found is None:
        return
    action, says = found
    for letter in (_envid(status), _original(parts)):
        if letter:
            yield Trace(letter, says, "notice", action)


def _action(status: Message | None) -> tuple[str, Says] | None:
    """Action and Status of the recipient: of the worst one, where a notice names several."""
    found: list[tuple[str, Says]] = []
    for block in _parts(status)[1:]:  # the first is of the letter, the others of its recipients
        action = str(block.get("Action") or "").strip().lower()
        code = _STATUS.search(str(block.get("Status") or ""))
        if action in _ACTIONS:
            said = f"{action} {code[0]}" if code else action
            found.append((said, _ACTIONS[action]))
    return max(found, key=lambda one: one[1] == "refused", default=None)


def _envid(status: Message) -> str | None:
    value = str(next((b.get("Original-Envelope-Id") for b in _parts(status)), "")).strip()
    return value if ENVID.fullmatch(value.lower()) else None


def _original(parts: list[Message]) -> str | None:
    """The Message-ID of the returned letter or of its header (RFC 6522 section 3)."""
    for part in parts[1:]:
        if part.get_content_type() == "text/rfc822-headers":
            body = part.get_payload(decode=True)
            text = body if isinstance(body, bytes) else b""
            return _message_id(BytesHeaderParser().parsebytes(text[:HEADER_OCTETS]))
        if part.get_content_type() == "message/rfc822" and (inner := _parts(part)):
            return _message_id(inner[0])
    return None


def _parts(message: Message | None) -> list[Message]:
    found = message.get_payload() if message is not None else None
    return [one for one in found if isinstance(one, Message)] if isinstance(found, list) else []


def _message_id(header: Message) -> str | None:
    found = re.search(r"<[^<>\s]{1,998}>", str(header.get("Message-ID") or ""))
    return found[0] if found else None


def _of_log(file: Path) -> Iterator[Trace]:
    """Postfix names the letter once and then the queue's id only (cleanup, qmgr, smtp)."""
    letters: dict[bytes, str] = {}
    with _opened(file) as lines:
        while line := lines.readline(LINE_OCTETS):
            found = _LINE.search(line)
            if found is None:
                continue
            program, queue_id, said = found.groups()
            if named := _LOGGED_ID.search(said):
                letters[queue_id] = named[1].decode("ascii", "replace")
            elif letter := letters.get(queue_id):
                yield from _logged(letter, program, said)


def _logged(letter: str, program: bytes, said: bytes) -> Iterator[Trace]:
    if program == b"qmgr" and _LOGGED_EXPIRED.search(said):
        yield Trace(letter, "refused", "log", "expired")
    elif program == b"qmgr" and said.startswith(b"from="):
        yield Trace(letter, "sent", "log", "in the queue")
    elif (status := _LOGGED_STATUS.search(said)) and (says := _LOGGED.get(status[2])):
        yield Trace(letter, says, "log", f"{status[2].decode()} {status[1].decode()}")
