"""Service mail: what the practice's own messages, which are no letters, have in common."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage

from reengage.mail.dkim_signature import SERVICE_HEADERS, dkim_signature
from reengage.practice import Practice


def signed(message: EmailMessage, practice: Practice, dkim_key: bytes, now: datetime) -> bytes:
    """The message's bytes under the practice's DKIM signature, as SMTP wants them."""
    head, _, body = message.as_bytes().partition(b"\r\n\r\n")
    fields = head.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n")
    fields = [one.replace(b"\n", b"\r\n") for one in fields]
    signature = dkim_signature(
        fields, body, dkim=practice.dkim, date=now, key=dkim_key, headers=SERVICE_HEADERS
    )
    return b"\r\n".join([signature, *fields]) + b"\r\n\r\n" + body
