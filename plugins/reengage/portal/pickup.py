"""Pick-up: from an answer to a session, from a session to the ciphertext, once.

A stranger with the link can annoy, never read: each wrong answer makes the next one wait longer,
the fifth locks the letter until the practice reopens it, and an answer is counted before it is
looked at, so that a thousand at once are one. All of it holds for any id of the right shape,
whether such a letter exists, has expired or is locked: the same statements, the same slow hash, the
same words. What differs, the incident and the message to the practice, is the keeper's work, later
(keeper.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.deposits import open_deposit
from reengage.portal import problems
from reengage.portal.desk import Desk, new_token, token_digest
from reengage.portal.pace import keep_pace
from reengage.refusals import PATIENT
from reengage.sealing.factor import Factor, comparable, is_right

WAITS = (2, 10, 60, 300, 300)
"""Seconds in which no further answer is looked at, after the 1st, 2nd, ... wrong one."""
MOST = 5
"""Wrong answers that lock a letter."""
SESSION_MINUTES = 15


@dataclass(frozen=True)
class Sought:
    """What an answer is compared with; `verifier` None = there is no such letter."""

    verifier: bytes | None = field(repr=False)
    language: str
    left: int
    """Answers that are looked at after this one."""


@dataclass(frozen=True)
class Session:
    """A right answer's. `patient` and `recipient` are pseudonyms."""

    patient: str
    recipient: str | None
    language: str
    moved: bool = False
    """Whether the patient has spoken of another address since this letter left (PRV-21)."""


def reserve(desk: Desk, message_id: str, peer: str) -> Sought:
    """Count an answer, and give what it is compared with.

    Raises PortalProblemError: locked, too early, or too many from that address of the network.
    """
    keep_pace(desk, peer)
    with desk.engine.begin() as connection:
        wrong = connection.execute(
            text(desk.sql("reserve")),
            {"message_id": message_id, "most": MOST, "waits": list(WAITS)},
        ).scalar_one_or_none()
        if wrong is None:
            why = connection.execute(
                text(desk.sql("standing")), {"message_id": message_id, "most": MOST}
            ).one()
            raise problems.locked() if why.locked else problems.too_early(why.seconds)
        found = connection.execute(
            text(desk.sql("sought")), {"message_id": message_id, "now": desk.settings.now()}
        ).one_or_none()
    known = bytes(found.verifier) if found and found.verifier is not None else None
    return Sought(known, found.language if found else "en", MOST - wrong)


def given(desk: Desk, birth_date: date, second: str) -> Factor | None:
    """The answer as it is compared; None = it cannot be one of this kind."""
    portal = desk.practice.portal
    said = comparable(portal.second_factor if portal else "zip", second)
    return None if said is None else Factor(birth_date, said)


def matches(desk: Desk, message_id: str, answer: Factor, sought: Sought) -> bool:
    """Whether the answer is right. Slow on purpose, as slow where there is no such letter."""
    return is_right(answer, message_id, sought.verifier, desk.keyring.authenticator)


def admit(desk: Desk, message_id: str) -> str:
    """A session's token after a right answer. Raises PortalProblemError: locked meanwhile."""
    token, digest = new_token()
    with desk.engine.begin() as connection:
        found = connection.execute(
            text(desk.sql("admit")),
            {"message_id": message_id, "token": digest, "minutes": SESSION_MINUTES},
        ).one_or_none()
    if found is None:
        raise problems.locked()
    return token


def give_back(desk: Desk, message_id: str) -> None:
    """The answer could not be looked at, or was right and a fault of ours kept it from opening."""
    with desk.engine.begin() as connection:
        connection.execute(text(desk.sql("give_back")), {"message_id": message_id})


def release(desk: Desk, message_id: str, token: str) -> bytes:
    """The ciphertext, which the link's key opens; with its record in the ledger, or not at all.

    Raises PortalProblemError: no such session, or it has had it.
    """
    with desk.engine.begin() as connection:
        require_session(desk, connection, message_id, token, fresh=True)
        row = connection.execute(
            text(desk.sql("release")), {"message_id": message_id, "token": token_digest(token)}
        ).one_or_none()
        if row is None:
            raise problems.released()
        ciphertext = open_deposit(desk.keyring, message_id, bytes(row.sealed))
        note(desk, connection, "opened", "letter", row.patient, {"letter": str(row.letter_id)})
    return ciphertext


def report(desk: Desk, message_id: str, peer: str) -> None:
    """Close the letter to everybody until the practice has looked. Raises PortalProblemError."""
    keep_pace(desk, peer)
    with desk.engine.begin() as connection:
        connection.execute(text(desk.sql("report")), {"message_id": message_id})


def require_session(
    desk: Desk, connection: Connection, message_id: str, token: str, *, fresh: bool = False
) -> Session:
    """Whom the session speaks for. Raises PortalProblemError: none, over, of another letter; or,
    where it has to be `fresh`, one that has had its letter.
    """
    row = connection.execute(
        text(desk.sql("session")),
        {"token": token_digest(token), "message_id": message_id, "now": desk.settings.now()},
    ).one_or_none()
    if row is None:
        raise problems.no_session()
    if fresh and row.released_at is not None:
        raise problems.released()
    return Session(row.patient, row.recipient, row.language, row.moved)


def note(
    desk: Desk,
    connection: Connection,
    action: str,
    of: str,
    patient: str,
    detail: Mapping[str, Any],
) -> None:
    """What a patient did, in the ledger, as the last thing of the transaction."""
    said = {"patient": patient, "pseudonym_key": desk.keyring.pseudonym_key_name, **detail}
    record = access(actor=PATIENT, action=action, of=of, detail=said)
    append(connection, desk.keyring, [record])
