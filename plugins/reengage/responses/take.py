"""Take: one message, read once, with all that follows from it in one transaction.

Rows, journal and ledger records of a message commit together with the mark that it was read, so
that whoever is killed at any point has done all of it or nothing, and the message is still there.
Of the message nothing is kept but its kind, codes, and a keyed digest (EML-10, SEC-10).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from reengage.keys import Keyring
from reengage.opt_outs import opt_out_by_token
from reengage.practice import Practice
from reengage.responses.effects import Effects
from reengage.responses.letters import Doubt, Returned, find_letter
from reengage.responses.policy import Judged, judge, judge_complaint
from reengage.responses.recognise import Recognised, recognise
from reengage.settings import Settings

Source = Literal["imap", "maildir", "spool"]


@dataclass(frozen=True)
class Desk:
    """Where what comes back is worked on."""

    settings: Settings
    practice: Practice
    keyring: Keyring
    store: Engine

    def now(self) -> datetime:
        """The practice's present."""
        return self.settings.now()


@dataclass(frozen=True)
class Taken:
    """What became of a message."""

    kind: str
    verdict: str

    @property
    def is_staffs(self) -> bool:
        """Whether a person must see it: somebody wrote, or complains or wants to leave in a way
        that names no letter.
        """
        asks = self.kind in ("complaint", "opt_out")
        return self.kind == "reply" or (
            asks and self.verdict in ("unnamed", "contradictory", "not_out")
        )

    @property
    def waits(self) -> bool:
        """Whether it is left where it is until later."""
        return self.verdict == "under_way"


def item_of(keyring: Keyring, content: bytes) -> str:
    """What a message is known again by, wherever it lies: keyed, line ends aside."""
    return keyring.authenticator("response", content.replace(b"\r\n", b"\n"))[:16].hex()


def take_message(desk: Desk, source: Source, content: bytes) -> Taken:
    """Read a message and do what follows from it. Raises what the store raises, never for it."""
    return take(desk, source, item_of(desk.keyring, content), recognise(content))


def take(
    desk: Desk, source: Source, item: str, found: Recognised, *, vendor: str | None = None
) -> Taken:
    """The same of what is recognised already; `vendor` signed it, and speaks of its own letters."""
    with desk.store.begin() as connection:
        if known := _known(connection, item):
            return known
        effects = Effects(connection, desk.settings, desk.practice, desk.keyring, item)
        if found.kind == "opt_out":
            verdict, letter, judged = _opt_out(desk, connection, found), None, None
        else:
            letter = find_letter(connection, desk.keyring, found.names)
            if isinstance(letter, Returned) and vendor not in (None, letter.vendor):
                letter = "contradictory"
            verdict, judged = _judged(desk, found, letter)
        if verdict != "under_way":
            _keep(desk, connection, source, item, found, verdict, letter, judged)
            if isinstance(letter, Returned):
                effects.follow(letter, found.kind, judged, verdict, signed=vendor is not None)
        return Taken(found.kind, verdict)


def _judged(desk: Desk, found: Recognised, letter: Returned | Doubt) -> tuple[str, Judged | None]:
    if found.kind in ("reply", "auto_reply"):
        return found.kind, None
    if not isinstance(letter, Returned):
        return letter, None
    if found.kind == "complaint":
        return judge_complaint(found.feedback), None

    def is_ours(address: str) -> bool:
        return desk.keyring.pseudonym("recipient", address.casefold()) == letter.recipient

    judged = judge(found.reports, is_ours)
    return judged.verdict, judged


def _opt_out(desk: Desk, connection: Connection, found: Recognised) -> str:
    journal = desk.settings.journal_path
    ours = [
        opt_out_by_token(connection, desk.keyring, journal, token, channel="mailto", now=desk.now())
        for token in found.names.tokens
    ]
    return "opted_out" if any(ours) else "unnamed"


def _known(connection: Connection, item: str) -> Taken | None:
    """What a message was taken for; nobody else takes it until this transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('reengage/response/' || :item, 0))"),
        {"item": item},
    )
    row = connection.execute(
        text("SELECT kind, verdict FROM response WHERE item = :item"), {"item": item}
    ).one_or_none()
    return Taken(row.kind, row.verdict) if row else None


def _keep(
    desk: Desk,
    connection: Connection,
    source: Source,
    item: str,
    found: Recognised,
    verdict: str,
    letter: Returned | Doubt | None,
    judged: Judged | None,
) -> None:
    letter_id: UUID | None = letter.letter_id if isinstance(letter, Returned) else None
    connection.execute(
        text(
            "INSERT INTO response (item, source, kind, verdict, cause, status, letter_id,"
            " recipient, at) VALUES (:item, :source, :kind, :verdict, :cause, :status, :letter_id,"
            " :recipient, :at)"
        ),
        {
            "item": item,
            "source": source,
            "kind": found.kind,
            "verdict": verdict,
            "cause": judged.cause if judged else None,
            "status": judged.status if judged else None,
            "letter_id": letter_id,
            "recipient": letter.recipient if isinstance(letter, Returned) else None,
            "at": desk.now(),
        },
    )
