"""Check letters: Great Expectations on the finished bytes, before anything is sent.

Looks at each letter as its recipient's mail client will: parses the message, decodes both parts,
and compares it with a letter of the same template whose fields are blank. What differs must be the
declared fields and nothing more (PRV-20); no header may be broken out of or hold a field (EML-02,
TRK-05), no part may fetch anything, no link may tell who clicked (TRK-03). Only letters that passed
are marked, and only a marked letter can be claimed: whatever is cleared, nothing unchecked is sent.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, cast
from urllib.parse import urlsplit

import pandas as pd
from markupsafe import escape

from reengage import checks
from reengage.mail.template_files import FETCHES
from reengage.pipeline import outbox
from reengage.pipeline.letter import BLANK, blanks, compose_letter, opt_out_links
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete, ending
from reengage.templates import Template, load_template

FRAME_LETTERS = 5000
"""Letters looked at together: memory stays the same however large the chunk."""

# Differ between any two letters and are checked by themselves, or by their own standard.
_VARYING = frozenset({"to", "date", "dkim-signature"})
_BLANK = re.compile(f"{BLANK}([a-z0-9_]+){BLANK}")
_LINK = re.compile(r"\bhref\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def check_letters(run: Run, chunk: Chunk) -> int:
    """Check the chunk's letters that were not checked yet; gives how many passed.

    Raises GateError naming the expectations that failed; then no letter of the frame is marked.
    """
    suite = checks.load_suite(run.settings.home, run.campaign.suites.letters)
    templates: dict[str, Template] = {
        language: load_template(run.settings.home, run.campaign.template, language)
        for language in run.campaign.languages
    }
    checked = 0
    said: list[dict[str, Any]] = []
    with run.store.connect() as connection:
        while drafts := outbox.drafts(connection, run, chunk["number"], FRAME_LETTERS):
            frame = pd.DataFrame([facts(run, draft, templates) for draft in drafts])
            verdicts = checks.check_frame(suite, frame)
            said = [{"suite": suite.name, **asdict(verdict)} for verdict in verdicts]
            with ending(connection, run, said):
                checks.require(suite.name, verdicts)
            outbox.mark_checked(connection, drafts)
            checked += len(drafts)
            if len(drafts) == FRAME_LETTERS:  # the last frame commits with the task's end
                connection.commit()
        complete(connection, run, rows={"letters": checked}, verdicts=said)
        connection.commit()
    return checked


def facts(
    run: Run, draft: outbox.Draft, templates: Mapping[str, Template]
) -> dict[str, str | int | bool]:
    """Numbers and yes/no about one letter; no word of it."""
    letter = draft.letter
    found = _parsed(letter.message)
    blank = _parsed(_blank_letter(run, draft, templates[letter.language]))
    page = _content(found, "html")
    return {
        "message_id": str(found["Message-ID"]),
        "fields_declared": set(letter.declared) == set(run.campaign.fields),
        "undeclared_parts": undeclared_parts(found, blank, letter.declared),
        "header_faults": _header_faults(found, letter.message),
        "foreign_headers": _foreign_headers(found, blank),
        "addressed_right": found["To"] == letter.recipient,
        "remote_fetches": len(FETCHES.findall(page)),
        "tracking_links": len(_tracking_links(page, opt_out_links(run, draft.identity))),
        "octets": len(letter.message),
        "longest_line": max(len(line) for line in letter.message.split(b"\r\n")),
    }


def undeclared_parts(found: EmailMessage, blank: EmailMessage, declared: Mapping[str, str]) -> int:
    """How many of the two parts are not the blank letter with each field in its own place.

    One more where there is anything besides the two: an attachment, words around the parts.
    """
    escaped = {name: str(escape(value)) for name, value in declared.items()}
    plain = filled_in(_content(blank, "plain"), declared)
    page = filled_in(_content(blank, "html"), escaped)
    return (
        (_content(found, "plain") != plain)
        + (_content(found, "html") != page)
        + (_frame(found) != _frame(blank))
    )


def _frame(message: EmailMessage) -> list[object]:
    """Everything of a message's body but the content of its parts."""
    parts = [part.items() for part in message.walk() if part is not message]
    return [message.preamble or "", message.epilogue or "", *parts]


def filled_in(blank: str, values: Mapping[str, str]) -> str:
    """The blank letter with the values in their places; a value that is missing stays blank."""
    return _BLANK.sub(lambda place: values.get(place[1], place[0]), blank)


def _blank_letter(run: Run, draft: outbox.Draft, template: Template) -> bytes:
    recipient = draft.letter.recipient
    fields = blanks(run.campaign)
    return compose_letter(run, template, fields, recipient, draft.identity, signed=False)


def _parsed(octets: bytes) -> EmailMessage:
    return message_from_bytes(octets, policy=SMTP)


def _content(message: EmailMessage, subtype: str) -> str:
    """The decoded part, empty where there is not exactly one: it then equals no blank letter."""
    parts = [part for part in message.walk() if part.get_content_type() == f"text/{subtype}"]
    return cast(str, parts[0].get_content()) if len(parts) == 1 else ""


def _header_faults(message: EmailMessage, octets: bytes) -> int:
    """Line ends that are none of SMTP's, octets beyond ASCII in the head, what the parser minds."""
    head = octets.partition(b"\r\n\r\n")[0]
    minded = sum(len(cast(Any, value).defects) for value in message.values())
    return (
        len(_BARE_LINE_END.findall(octets))
        + (not head.isascii())
        + minded
        + sum(len(part.defects) for part in message.walk())
    )


def _foreign_headers(found: EmailMessage, blank: EmailMessage) -> int:
    """How many headers are missing, in excess, twice there, or unlike the blank letter's."""
    both = (found, blank)
    of_found, of_blank = ([(n.lower(), str(v)) for n, v in one.items()] for one in both)
    names = [name for name, _ in of_found if name != "dkim-signature"]
    fixed = {pair for pair in of_found if pair[0] not in _VARYING}
    expected = {pair for pair in of_blank if pair[0] not in _VARYING}
    return len(fixed ^ expected) + (sorted(names) != sorted(name for name, _ in of_blank))


def _tracking_links(page: str, own: Sequence[str]) -> list[str]:
    """Links that could tell who clicked: only the opt-out may be of one letter's own (TRK-03)."""
    found = (html.unescape(link) for link in _LINK.findall(page))
    return [link for link in found if link not in own and not _is_the_same_for_all(link, own)]


def _is_the_same_for_all(link: str, own: Sequence[str]) -> bool:
    parts = urlsplit(link)
    if parts.scheme == "tel":
        return True
    plain = not (parts.query or parts.fragment or parts.username)
    token = own[0].rpartition("/")[2]
    return parts.scheme == "https" and plain and token not in link
