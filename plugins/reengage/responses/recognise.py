"""Recognise: what kind of message came, and which letter it is about. Pure.

    complaint    a feedback report (RFC 5965), or a large provider's form of one
    opt_out      a letter's own `unsubscribe` token in the subject (RFC 2369's mailto)
    bounce       a delivery notice, or a machine's prose about a delivery that failed
    auto_reply   a machine's answer (RFC 3834): on holiday, ticket received
    reply        everything else: a person wrote; it is for staff and is read no further

The order is this. A person's message is never a bounce, whatever it quotes: prose counts only from
a machine (an empty return path, a mailer's own name, Auto-Submitted), and who forwards a notice to
us is a person. A letter is named by its ENVID, its return path, its Message-ID or its opt-out
token: all unguessable and ours. No address finds a letter (EML-09, EML-10, TRK-05).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Literal

from reengage.responses.letterbox import (
    content_type,
    header,
    header_of,
    open_message,
    parameter,
    parts_of,
    text_of,
)
from reengage.responses.notice import Report, is_json_notice, reports_of
from reengage.return_path import ENVID

Kind = Literal["complaint", "opt_out", "bounce", "auto_reply", "reply"]
NAMES = 20
"""Names of letters that one message may give."""


@dataclass(frozen=True)
class Names:
    """What a message calls the letter that it is about; what is no name of ours matches nothing."""

    envids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    return_paths: tuple[str, ...] = field(default=(), repr=False)
    """Local parts of the addresses that it was delivered to."""
    tokens: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Recognised:
    """A message, as far as it is anybody's business."""

    kind: Kind
    names: Names = Names()
    reports: tuple[Report, ...] = ()
    """Of a bounce, one per recipient."""
    feedback: str = ""
    """Of a complaint, its type (RFC 5965 section 7.3): `abuse`, `not-spam` ..."""


_TOKEN = re.compile(r"(?<![a-z2-7])[a-z2-7]{32}(?![a-z2-7])")
_UNSUBSCRIBE = re.compile(r"\bunsubscribe\b", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9._+-]{1,128}@[A-Za-z0-9.-]{1,255}>")
_MAILER = re.compile(
    r"mailer-?daemon|mail(?:er)? delivery|delivery (?:sub)?system|\bpostmaster\b|^<>$|"
    r"mail deliver(?:y|er) system|ndr admin|mail\.delivery\.system",
    re.IGNORECASE,
)
_FAILURE = re.compile(
    r"undeliver|not be delivered|returned (?:mail|to sender|message)|failure notice|"
    r"delivery (?:has )?(?:fail|status|notif|problem|error)|failed delivery|mail fail|"
    r"delivery failed|did not reach|unable to deliver|wasn't able to deliver|error sending|"
    r"could ?n[o']t be delivered|error (?:has occurred while|was) ?(?:attempting to )?deliver|"
    r"rejected by|(?:user|host|recipient|mailbox) (?:is )?(?:unknown|full)|loop alert|"
    r"failure reasons|mailbox exceeds|trouble delivering|mail system error",
    re.IGNORECASE,
)
_COMPLAINT_FORM = re.compile(r"^complaint about message from ", re.IGNORECASE)


def recognise(content: bytes) -> Recognised:
    """What this message is. Never raises: what cannot be read is a reply, for staff to look at."""
    message = open_message(content)
    try:
        return _recognised(message, content)
    except Exception:  # whatever the parser stumbles over must not stop the mailbox
        return Recognised("reply")


def _recognised(message: Message, content: bytes) -> Recognised:
    if _is_complaint(message):
        return Recognised("complaint", _names(message, content), feedback=_feedback(message))
    if tokens := _opt_out_tokens(message):
        return Recognised("opt_out", Names(tokens=tokens))
    if _is_bounce(message):
        return Recognised("bounce", _names(message, content), tuple(reports_of(message)))
    if _is_automatic(message):
        return Recognised("auto_reply", _answered(message))
    return Recognised("reply")


def _is_complaint(message: Message) -> bool:
    if any(content_type(part) == "message/feedback-report" for part in parts_of(message)[:10]):
        return True
    return bool(_COMPLAINT_FORM.match(header(message, "subject"))) and any(
        content_type(part) == "message/rfc822" for part in parts_of(message)[:10]
    )


def _feedback(message: Message) -> str:
    """The type that a feedback report gives; a provider's own form is abuse."""
    for part in parts_of(message):
        if content_type(part) == "message/feedback-report":
            said = "\n".join(header(one, "feedback-type") for one in parts_of(part)[1:])
            found = said or "\n".join(
                re.findall(r"^feedback-type:(.*)$", text_of(part), re.I | re.M)
            )
            return " ".join(found.lower().split())[:40] or "abuse"
    return "abuse"


def _opt_out_tokens(message: Message) -> tuple[str, ...]:
    """Only with the word before it: 32 letters alone are anybody's."""
    subject = header(message, "subject")
    if not _UNSUBSCRIBE.search(subject):
        return ()
    return tuple(dict.fromkeys(_TOKEN.findall(subject.lower())))[:NAMES]


def _is_bounce(message: Message) -> bool:
    parts = parts_of(message)
    if parameter(message, "report-type") in ("delivery-status", "global-delivery-status"):
        return True
    if content_type(message) == "multipart/report":
        return any(content_type(part).endswith("delivery-status") for part in parts) or _mails(
            message, parts
        )
    if header(message, "x-failed-recipients"):
        return True
    if not message.is_multipart() and is_json_notice(text_of(message)[:64]):
        return True
    return _mails(message, parts)


def _mails(message: Message, parts: Sequence[Message]) -> bool:
    """Whether a mailer wrote it, about a delivery."""
    if not _from_mailer(message):
        return False
    leaf = next((part for part in parts if not part.is_multipart()), None)
    said = text_of(leaf)[:4096] if leaf is not None else ""
    return bool(_FAILURE.search(f"{header(message, 'subject')}\n{said}"))


def _from_mailer(message: Message) -> bool:
    if header(message, "in-reply-to") and not _MAILER.search(header(message, "from")):
        return False
    return header(message, "return-path") == "<>" or bool(_MAILER.search(header(message, "from")))


def _is_automatic(message: Message) -> bool:
    """RFC 3834 section 5, and what is older than it."""
    submitted = header(message, "auto-submitted").lower()
    if submitted and submitted.split(";")[0].split(" ")[0] != "no":
        return True
    if any(header(message, name) for name in ("x-autoreply", "x-autorespond", "x-auto-reply-from")):
        return True
    precedence = header(message, "precedence").lower()
    # A subject alone proves nothing: "Automatic refill, please call me" is a person's.
    return precedence == "auto_reply" or header(message, "return-path") == "<>"


def _names(message: Message, content: bytes) -> Names:
    """All that a notice or a complaint calls the letter by, and where it was delivered to."""
    envids, ids = [], []
    for part in parts_of(message):
        kind = content_type(part)
        if kind.endswith(("/delivery-status", "/feedback-report")):
            said = "\n".join(
                f"{name}: {value}" for one in parts_of(part) for name, value in one.items()
            ) or text_of(part)
            envids += _envids(said)
            ids += _own_id(said)
        elif kind == "text/rfc822-headers":
            ids += _own_id(text_of(part))
        elif kind == "message/rfc822":
            ids += [
                i
                for one in parts_of(part)[1:2]
                for i in _own_id(f"message-id: {header(one, 'message-id')}")
            ]
        elif not part.is_multipart():
            ids += _own_id(text_of(part))
    return Names(
        tuple(dict.fromkeys(envids))[:NAMES],
        tuple(dict.fromkeys(ids))[:NAMES],
        _delivered_to(content),
    )


def _envids(said: str) -> list[str]:
    found = re.findall(r"^original-envelope-id[ \t]*:[ \t]*(\S+)", said, re.I | re.M)
    return [one.lower() for one in found if ENVID.fullmatch(one.lower())]


def _own_id(text: str) -> list[str]:
    """Message-IDs of a header that is quoted in a text; also without its angle brackets' space."""
    found = re.findall(
        r"^[ \t>]*(?:x-|original-)*message-id[ \t]*:\s*(<[^<>\s]{1,400}>)",
        text[:262144],
        re.I | re.M,
    )
    return [one for one in found if _MESSAGE_ID.fullmatch(one)]


def _answered(message: Message) -> Names:
    """An automatic answer names what it answers (RFC 3834 section 3.1.5)."""
    said = f"{header(message, 'in-reply-to')} {header(message, 'references')}"
    return Names(message_ids=tuple(dict.fromkeys(_MESSAGE_ID.findall(said)))[:NAMES])


def _delivered_to(content: bytes) -> tuple[str, ...]:
    """Local parts of the addresses that our own mail server wrote down, or that it was sent to."""
    said = header_of(content).decode("latin-1")
    found = re.findall(
        r"^(?:delivered-to|x-original-to|envelope-to|to)[ \t]*:[^\r\n]*?<?([^\s<>@]{1,64})@",
        said, re.I | re.M,
    )  # fmt: skip
    return tuple(dict.fromkeys(one.lower() for one in found))[:NAMES]
