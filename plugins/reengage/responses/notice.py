"""Notice: what a delivery notice says of each recipient (RFC 3464, RFC 6522), or a bounce in prose.

A notice in the standard's form is read by its fields, one block per recipient: Action is what
happened, Status and Diagnostic-Code why (EML-09). Where servers write prose, its recipients are
those that flufl.bounce finds, and each is diagnosed by the words between its address and the next.
`failed` is final whatever the status' first digit; `delayed` is not; `relayed` proves no delivery.

An address is kept in memory only, to compare it with the letter's own; no letter is found by it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Literal

from flufl.bounce import all_failures

from reengage.responses.diagnosis import Diagnosis, diagnose
from reengage.responses.letterbox import content_type, header, parts_of, text_of

# Its detectors' faults are logged with their text, which quotes the message (SEC-10).
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded", "other"]
_ACTIONS: dict[str, Action] = {
    "failed": "failed", "failure": "failed", "delayed": "delayed", "delivered": "delivered",
    "relayed": "relayed", "expanded": "expanded",
}  # fmt: skip
_SES = ("emailAddress", "action", "status", "diagnosticCode")
MOST = 50
"""Recipients of one notice that are looked at; ours has one."""


@dataclass(frozen=True)
class Report:
    """What is said of one recipient."""

    action: Action
    diagnosis: Diagnosis
    addresses: tuple[str, ...] = field(default=(), repr=False)
    """Final and original recipient, as the notice has them."""

    @property
    def hard(self) -> bool:
        """Whether its address is dead."""
        return self.action == "failed" and self.diagnosis.hard


_BLOCK = re.compile(r"^(?:original|final)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]*)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]+)*)", re.M)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}[A-Za-z0-9]")
_OLD_SENDMAIL = re.compile(r"^5\d\d <([^<>\s@]{1,64}@[^<>\s@]{1,255})>\.\.\. ", re.MULTILINE)
_RETURNED = re.compile(
    r"^[ \t-]*(?:below this line|this is a copy|original message|message headers follow|"
    r"the header of the original|unsent message|returned message|included is a copy|"
    r"below is a copy|message header)[^\n]*$|^(?:received|return-path|dkim-signature):",
    re.IGNORECASE | re.MULTILINE,
)
_DELAY = re.compile(r"warning message only|will be retried|\bdelay(?:ed)?\b|not yet been", re.I)


def reports_of(message: Message) -> list[Report]:
    """What a notice says of its recipients; empty where it says nothing that can be understood."""
    parts = parts_of(message)
    prose = _prose(parts)
    found = [
        report
        for part in parts
        if content_type(part).endswith("/delivery-status")
        for report in _blocks(_status_text(part), prose)
    ]
    if not found and _BLOCK.search(prose):
        found = list(_blocks(prose, prose))
    return (found or list(_in_json(prose)) or list(_in_prose(message, prose)))[:MOST]


def _prose(parts: Sequence[Message]) -> str:
    """The part for people, without the letter that is returned below it."""
    leaf = next(
        (p for p in parts if not p.is_multipart() and content_type(p) == "text/plain"), None
    )
    if leaf is None:
        leaf = next((part for part in parts if not part.is_multipart()), None)
    text = text_of(leaf) if leaf is not None else ""
    returned = _RETURNED.search(text)
    return text[: returned.start()] if returned else text


def _status_text(part: Message) -> str:
    """The fields of a delivery-status part, whether or not the parser took them apart."""
    if part.is_multipart():
        blocks = [block for block in part.get_payload() if isinstance(block, Message)]
        return "\n\n".join("\n".join(f"{k}: {v}" for k, v in block.items()) for block in blocks)
    return text_of(part)


def _blocks(text: str, prose: str) -> Iterator[Report]:
    """One report for each block of fields that names a recipient or says what happened."""
    for block in re.split(r"\n[ \t]*\r?\n", text):
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(block):
            fields.setdefault(name.lower(), " ".join(value.split()))
        if "action" not in fields and "final-recipient" not in fields:
            continue
        named = [fields.get("final-recipient", ""), fields.get("original-recipient", "")]
        addresses = tuple(
            dict.fromkeys(found[0] for one in named if (found := _ADDRESS.search(one)))
        )
        words = fields.get("diagnostic-code", "")
        if not _says_something(words):
            words = f"{words} {fields.get('status', '')} {prose}"
        status = fields.get("status", "")
        action = _ACTIONS.get(fields.get("action", "").split(" ")[0].lower(), "other")
        yield Report(action, diagnose(words, status), addresses)


def _says_something(words: str) -> bool:
    return len(words.partition(";")[2].strip()) > 3


def _in_json(prose: str) -> Iterator[Report]:
    """Amazon SES tells of a bounce as JSON, also by mail."""
    if not is_json_notice(prose):
        return
    try:
        bounced = json.loads(prose[: prose.rindex("}") + 1])["bounce"]["bouncedRecipients"]
        told = [{name: str(one.get(name, "")) for name in _SES} for one in bounced[:MOST]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    for one in told:
        action = _ACTIONS.get(one["action"].lower(), "failed")
        found = diagnose(one["diagnosticCode"], one["status"])
        yield Report(action, found, (one["emailAddress"],))


def is_json_notice(text: str) -> bool:
    """Whether a text is Amazon's notice of a bounce."""
    return text.startswith('{"notificationType":"Bounce"')


def _in_prose(message: Message, prose: str) -> Iterator[Report]:
    """A bounce without fields; a delay is told by the subject and what stands around it."""
    action: Action = "failed"
    if _DELAY.search(f"{header(message, 'subject')}\n{prose}"):
        action = "delayed"
    addresses = _failed(message, prose)
    if not addresses:
        yield Report(action, diagnose(f"{prose}\n{header(message, 'subject')}"))
    for address in addresses:
        found = diagnose(_near(prose, (address,), addresses))
        if found.cause == "unclear":
            found = diagnose(f"{prose}\n{header(message, 'subject')}")
        yield Report(action, found, (address,))


def _failed(message: Message, prose: str) -> list[str]:
    """Addresses that a bounce in prose names as failed, in small letters."""
    try:
        temporary, permanent = all_failures(message)
        found = [one.decode("ascii", "replace").lower() for one in (*permanent, *temporary)]
    except Exception:  # a detector that stumbles over hostile input has found nothing
        found = []
    found += [one.lower() for one in _ADDRESS.findall(header(message, "x-failed-recipients"))]
    # Sendmail before it knew notices: "554 <somebody@example.org>... 550 Host unknown".
    found += [one.lower() for one in _OLD_SENDMAIL.findall(prose)]
    return sorted(dict.fromkeys(found))[:MOST]


def _near(prose: str, addresses: Sequence[str], others: Sequence[str] = ()) -> str:
    """The words from an address to the next of the others; all, where it is not named."""
    small = prose.lower()
    begin = min((at for one in addresses if (at := small.find(one.lower())) >= 0), default=0)
    ends = [at for one in others if one not in addresses and (at := small.find(one, begin)) > begin]
    return prose[begin : min(ends, default=len(prose))]
