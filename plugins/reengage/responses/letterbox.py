"""Letterbox: a message from outside, taken apart within bounds, whatever it holds. Pure.

Promises: time and memory are bounded by `OCTETS`, and no message raises. Nothing is unpacked, no
link is followed, no character set is trusted. What is too large is cut: a notice says what matters
before the letter that it returns. What has too many parts is read as if it had none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser

OCTETS = 1024 * 1024
"""Read of one message; a notice with our whole letter is a tenth of it."""
PARTS = 200
"""Delimiter lines and nested boundaries that a message may have; real notices have ten."""
DEPTH = 20
HEADER_OCTETS = 256 * 1024

_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


def open_message(content: bytes) -> Message:
    """The message, within bounds: of what is out of them the header only."""
    content = content[:OCTETS]
    hostile = content.count(b"\n--") > 4 * PARTS or content.lower().count(b"boundary=") > DEPTH
    if not hostile:
        with suppress(Exception):  # the parser's own faults on what nobody should send
            return message_from_bytes(content)
    try:
        return BytesHeaderParser().parsebytes(header_of(content) + b"\r\n\r\n")
    except Exception:
        return Message()


def header_of(content: bytes) -> bytes:
    """The octets before the first empty line."""
    found = _END_OF_HEADER.search(content, 0, HEADER_OCTETS)
    return content[: found.start()] if found else content[:HEADER_OCTETS]


def parts_of(message: Message) -> list[Message]:
    """All leaves and inner messages, outermost first, at most `PARTS`."""
    found: list[Message] = []
    for part in _walk(message, 0):
        found.append(part)
        if len(found) >= PARTS:
            break
    return found


def _walk(message: Message, depth: int) -> Iterator[Message]:
    yield message
    # Never `get_payload()` of a leaf: it decodes by whatever character set the sender wrote.
    if message.is_multipart() and depth < DEPTH:
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _walk(part, depth + 1)


def header(message: Message, name: str) -> str:
    """A header's value on one line; empty where there is none, or one that cannot be read."""
    try:
        value = str(message.get(name) or "")
    except Exception:
        return ""
    return " ".join(value[:HEADER_OCTETS].split())


def text_of(part: Message) -> str:
    """A leaf's text. The character set is a hint: what it does not explain is replaced."""
    try:
        body = part.get_payload(decode=True)
    except Exception:
        return ""
    if not isinstance(body, bytes):
        return ""
    charset = part.get_content_charset("utf-8") if _sane(part) else "utf-8"
    try:
        return body.decode(charset, "replace")
    except (LookupError, ValueError):
        return body.decode("latin-1")


def _sane(part: Message) -> bool:
    """Whether the charset can be asked for: RFC 2231 values of nobody's charset raise."""
    try:
        return part.get_content_charset() in (
            None, "us-ascii", "utf-8", "iso-8859-1", "iso-8859-15", "windows-1252", "iso-2022-jp",
            "koi8-r", "windows-1251", "shift_jis", "euc-jp", "gb2312", "big5",
        )  # fmt: skip
    except Exception:
        return False


def content_type(message: Message) -> str:
    """The content type, small; `text/plain` where there is none."""
    try:
        return message.get_content_type()
    except Exception:
        return "text/plain"


def parameter(message: Message, name: str) -> str:
    """A parameter of the content type, small; empty where there is none."""
    try:
        return str(message.get_param(name) or "").lower()
    except Exception:
        return ""
