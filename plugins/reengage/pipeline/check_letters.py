"""Check letters: Great Expectations on the finished bytes, before anything is sent.

Looks at each letter as its recipient will (opened.py): opens what is sealed, parses it, decodes
both parts, and compares it with a letter of the same template whose fields are blank. What differs
must be the declared fields and nothing more (PRV-20); no header may be broken out of or hold a
field (EML-02, TRK-05), no part may fetch anything, no link may tell who clicked (TRK-03). Only
letters that passed are marked, and only a marked letter can be claimed: whatever is cleared,
nothing unchecked is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from email.message import EmailMessage
from typing import Any, cast
from urllib.parse import urlsplit

import pandas as pd
from markupsafe import escape

from reengage import checks
from reengage.mail.template_files import FETCHES
from reengage.pipeline import outbox
from reengage.pipeline.composing import BLANK, Wording, said_in, wordings
from reengage.pipeline.opened import Layer, content, layers, links_in
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete, ending

FRAME_LETTERS = 5000
"""Letters judged together, by what was found of each: memory does not grow with the chunk."""

# Differ between any two letters and are checked by themselves, or by their own standard.
_VARYING = frozenset({"to", "date", "dkim-signature"})
_BLANK = re.compile(f"{BLANK}([a-z0-9_]+){BLANK}")


def check_letters(run: Run, chunk: Chunk) -> int:
    """Check the chunk's letters that were not checked yet; gives how many passed.

    Raises GateError naming the expectations that failed; then no letter of the frame is marked.
    """
    suite = checks.load_suite(run.settings.home, run.campaign.suites.letters)
    words = wordings(run)
    checked = 0
    said: list[dict[str, Any]] = []
    with run.store.connect() as connection:
        while found := {
            draft.letter_id: facts(run, draft, words)
            for draft in outbox.drafts(connection, run, chunk["number"], FRAME_LETTERS)
        }:
            verdicts = checks.check_frame(suite, pd.DataFrame([*found.values()]))
            said = [{"suite": suite.name, **asdict(verdict)} for verdict in verdicts]
            with ending(connection, run, said):
                checks.require(suite.name, verdicts)
            outbox.mark_checked(connection, list(found))
            checked += len(found)
            if len(found) == FRAME_LETTERS:  # the last frame commits with the task's end
                connection.commit()
        complete(connection, run, rows={"letters": checked}, verdicts=said)
        connection.commit()
    return checked


def facts(
    run: Run, draft: outbox.Draft, words: Mapping[str, Wording]
) -> dict[str, str | int | bool]:
    """Numbers and yes/no about one letter, over all its layers; no word of it."""
    letter = draft.letter
    found = layers(run, letter, draft.identity, words[said_in(letter.language, letter.variant)])
    outer = found[0].found
    return {
        "message_id": str(outer["Message-ID"]),
        "fields_declared": set(letter.declared) == set(run.campaign.fields),
        "undeclared_parts": sum(
            undeclared_parts(one.found, one.expected, one.declared) for one in found
        ),
        "header_faults": sum(_header_faults(one.found, one.octets) for one in found),
        "foreign_headers": sum(_foreign_headers(one.found, one.expected) for one in found),
        "addressed_right": all(one.found["To"] == letter.recipient for one in found),
        "remote_fetches": sum(len(FETCHES.findall(one.page)) for one in found),
        "tracking_links": sum(len(_tracking_links(one)) for one in found),
        "octets": len(letter.message),
        "longest_line": max(map(len, letter.message.split(b"\r\n"))),
    }


def undeclared_parts(found: EmailMessage, blank: EmailMessage, declared: Mapping[str, str]) -> int:
    """How many of the two parts are not the blank letter with each field in its own place.

    One more where there is anything besides the two: an attachment, words around the parts.
    """
    escaped = {name: str(escape(value)) for name, value in declared.items()}
    plain = filled_in(content(blank, "plain"), declared)
    page = filled_in(content(blank, "html"), escaped)
    return (
        (content(found, "plain") != plain)
        + (content(found, "html") != page)
        + (_frame(found) != _frame(blank))
    )


def _frame(message: EmailMessage) -> list[object]:
    """Everything of a message's body but the content of its parts."""
    parts = [part.items() for part in message.walk() if part is not message]
    return [message.preamble or "", message.epilogue or "", *parts]


def filled_in(blank: str, values: Mapping[str, str]) -> str:
    """The blank letter with the values in their places; a value that is missing stays blank."""
    return _BLANK.sub(lambda place: values.get(place[1], place[0]), blank)


def _header_faults(message: EmailMessage, octets: bytes) -> int:
    """Line ends that are none of SMTP's, octets beyond ASCII in the head, what the parser minds."""
    head = octets.partition(b"\r\n\r\n")[0]
    minded = sum(len(cast(Any, value).defects) for value in message.values())
    bare = octets.count(b"\r") + octets.count(b"\n") - 2 * octets.count(b"\r\n")
    return bare + (not head.isascii()) + minded + sum(len(part.defects) for part in message.walk())


def _foreign_headers(found: EmailMessage, blank: EmailMessage) -> int:
    """How many headers are missing, in excess, twice there, or unlike the blank letter's."""
    both = (found, blank)
    of_found, of_blank = ([(n.lower(), str(v)) for n, v in one.items()] for one in both)
    names = [name for name, _ in of_found if name != "dkim-signature"]
    fixed = {pair for pair in of_found if not _varies(*pair)}
    expected = {pair for pair in of_blank if not _varies(*pair)}
    return len(fixed ^ expected) + (sorted(names) != sorted(name for name, _ in of_blank))


def _varies(name: str, value: str) -> bool:
    """Whether a header differs between any two letters, itself or as HP-Outer repeats it."""
    told = value.partition(":")[0].lower() if name == "hp-outer" else name
    return told in _VARYING


def _tracking_links(layer: Layer) -> list[str]:
    """Links that could tell who clicked: only the letter's own may be of one letter (TRK-03)."""
    own = layer.links.shown().values() if layer.links else ()
    token = layer.links.opt_out_url.rpartition("/")[2] if layer.links else ""
    return [
        link
        for link in links_in(layer.page)
        if link not in own and not _is_the_same_for_all(link, token)
    ]


def _is_the_same_for_all(link: str, token: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme == "tel":
        return True
    plain = not (parts.query or parts.fragment or parts.username)
    return parts.scheme == "https" and plain and bool(token) and token not in link
