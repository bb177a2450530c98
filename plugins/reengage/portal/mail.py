"""Mail: the portal's own messages, which hold no PHI: a link to press, a number to look up.

Plain text, in the reader's language, signed with DKIM; no list, so no List-Unsubscribe: each
answers what somebody just did. Nothing says that the reader is a patient of anybody's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

from reengage.errors import LetterError
from reengage.mail.service import signed
from reengage.practice import Practice, is_address

_WORDS = Path(__file__).with_name("mail_words")


@dataclass(frozen=True)
class Service:
    """Who writes."""

    practice: Practice
    dkim_key: bytes = field(repr=False)
    now: datetime


def service_message(
    service: Service, kind: str, content: Mapping[str, str], mail_id: UUID
) -> bytes:
    """The finished message. Raises LetterError for an address that is none."""
    practice = service.practice
    if not is_address(content["to"]):
        raise LetterError("a message of the portal has no plainly formed address; it was not sent")
    words = _words(kind, content.get("language", "en"))
    link = confirmation_link(practice, content["token"]) if "token" in content else ""
    values = {
        "practice": practice.name, "phone": practice.phone, "link": link,
        "incident": content.get("incident", ""), "what": words.get(content.get("kind", ""), ""),
    }  # fmt: skip
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = Address(practice.from_name, addr_spec=practice.from_address)
    message["To"] = content["to"]
    message["Reply-To"] = practice.reply_to
    message["Subject"] = words["subject"].format_map(values)
    message["Date"] = format_datetime(service.now)
    message["Message-ID"] = f"<portal.{mail_id.hex}@{practice.message_id_domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words["text"].format_map(values), cte="quoted-printable")
    return signed(message, practice, service.dkim_key, service.now)


def confirmation_link(practice: Practice, token: str) -> str:
    """Where an address is confirmed: beside the pages that letters are read on."""
    if practice.portal is None:
        raise LetterError("practice.yaml has no `portal`, to which a link should lead")
    return f"{practice.portal.url.removesuffix('m/')}confirm/{token}"


def _words(kind: str, language: str) -> dict[str, str]:
    name = f"{kind}.{language}.json" if kind == "confirm_address" else f"{kind}.json"
    found: dict[str, str] = json.loads((_WORDS / name).read_text(encoding="utf-8"))
    return found
