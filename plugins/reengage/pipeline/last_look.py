"""Last look: what the warehouse says of letters in the moment in which they are claimed.

Whoever revoked, moved, booked or changed their certificate since the morning is not written to.
Asked once per batch, as of now; a warehouse that does not answer stops the batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError

from reengage.errors import StoreError
from reengage.pipeline import outbox
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.asking import asking_now
from reengage.pipeline.decide import recipient_pseudonym
from reengage.pipeline.letter import comparable
from reengage.pipeline.run import Run
from reengage.pipeline.ways import choose_way
from reengage.pipeline.wishes import Wish, wishes
from reengage.sealing.certificates import certificate_of
from reengage.sealing.factor import Factor
from reengage.sealing.factor import comparable as comparable_factor
from reengage.sealing.trust import Trust, load_trust
from reengage.sealing.way import Means, still_holds
from reengage.sql import load_sql


@dataclass(frozen=True)
class _Sealing:
    """What seals rest on in this moment; lists of what was revoked are read anew each time."""

    means: Means
    trust: Trust
    own_certificates: frozenset[bytes]


@dataclass(frozen=True)
class LastLook:
    """The warehouse's last word on some letters, by their ids."""

    denied: dict[UUID, str]
    """Those that may no longer go, with the first reason."""
    consents: dict[UUID, dict[str, str | None]]
    """Of the others, purpose to the signing of the form that counts."""
    on_file: dict[UUID, str] = field(default_factory=dict)
    """Of the others, pseudonym of the address that the warehouse has."""
    factors: dict[UUID, Factor] = field(default_factory=dict, repr=False)
    """Of the others that wait at the portal, what opens them there."""
    verified: dict[UUID, str] = field(default_factory=dict)
    """Of the others, when the address was confirmed; none of a representative's."""


def last_look(
    connection: Connection, run: Run, letters: Sequence[outbox.Queued], means: Means
) -> LastLook:
    """What the warehouse says of these letters now, and our own store of their patients' wishes.

    Of a letter: its patient must still be one to write to, at its address, what it speaks of must
    still be so, and its seal must still rest on what it rested on. Raises StoreError when the
    warehouse does not answer.
    """
    found = _standing_now(run, letters)
    patients = [run.pseudonym(one.letter.patient_key) for one in letters]
    asked_for = wishes(connection, run.settings.home, patients)
    asked = _Sealing(means, load_trust(run.settings.smime_trust), _own_certificates(run, letters))
    reasons = {
        one.letter_id: _reason_against(run, one, found[number], asked, asked_for.get(patient))
        for number, (one, patient) in enumerate(zip(letters, patients, strict=True), start=1)
    }
    denied = {letter_id: reason for letter_id, reason in reasons.items() if reason}
    allowed = [
        (one, found[number][0])
        for number, one in enumerate(letters, start=1)
        if one.letter_id not in denied
    ]
    factors = {one.letter_id: _factor(run, one, now) for one, now in allowed}
    on_file = {one.letter_id: recipient_pseudonym(run, now.recipient) for one, now in allowed}
    return LastLook(
        denied,
        {one.letter_id: now.consents for one, now in allowed},
        on_file,
        {letter_id: factor for letter_id, factor in factors.items() if factor},
        {  # of the address on file: it says nothing of one that was asked for instead
            one.letter_id: now.verified_at
            for one, now in allowed
            if now.verified_at and on_file[one.letter_id] == one.recipient
        },
    )


def _factor(run: Run, one: outbox.Queued, now: Row[Any]) -> Factor | None:
    """What its recipient must know; None for who needs nothing, or for whom it is not on file."""
    portal = run.practice.portal
    if portal is None or one.letter.deposit is None or now.birth_date is None:
        return None
    said = now.zip if portal.second_factor == "zip" else one.letter.patient_key
    second = comparable_factor(portal.second_factor, said or "")
    return None if second is None else Factor(now.birth_date, second)


def _reason_against(
    run: Run, one: outbox.Queued, found: list[Row[Any]], asked: _Sealing, wish: Wish | None
) -> str | None:
    if len(found) != 1:  # a view has a key twice: who knows which of the rows is true?
        return "ambiguous"
    [now] = found
    if now.reasons:
        return str(now.reasons[0])
    on_file = recipient_pseudonym(run, now.recipient)
    if (wish.recipient_for(on_file) if wish else on_file) != one.recipient:
        return "address_changed"
    for column, said in one.letter.says.items():
        if comparable(getattr(now, column.replace(".", "_"))) != said:
            return f"{column.split('.')[0]}_changed"
    if lapsed := _seal_against(run, one.letter, now, asked):
        return lapsed
    waits = one.letter.deposit is not None
    return "portal_factor_missing" if waits and _factor(run, one, now) is None else None


def _seal_against(run: Run, letter: Addressed, now: Row[Any], asked: _Sealing) -> str | None:
    """Why a letter may not go in the way in which it is sealed: a certificate must still be the one
    it is sealed for, and sound; where there was none, one on file by now asks for another way.
    """
    if not still_holds(letter.way, asked.means):
        return "seal_lapsed"
    if letter.way.mode == "portal":
        portal = run.practice.portal  # the link in the notice leads to one and no other
        return None if portal and portal.url == letter.portal_url else "seal_lapsed"
    chosen = choose_way(
        run,
        asked.means,
        asked.trust,
        address=letter.recipient,  # is the one on file, or the one that was asked for
        certificate=now.certificate,
        reads_authenticated=now.reads_authenticated,
    )
    current = chosen.certificate.digest if chosen.certificate else None
    if letter.way.mode == "tls":
        return "certificate_changed" if current or chosen.obstacle else None
    if chosen.obstacle:
        return chosen.obstacle
    if current != letter.certificate:
        return "certificate_changed"
    return None if _signature_holds(run, letter, asked) else "seal_lapsed"


def _signature_holds(run: Run, letter: Addressed, asked: _Sealing) -> bool:
    """Whether the identity that signed is still the practice's, and in date."""
    if letter.signed_by is None or letter.signed_by not in asked.own_certificates:
        return False
    return bool(certificate_of(letter.signed_by).expires > run.settings.now())


def _own_certificates(run: Run, letters: Sequence[outbox.Queued]) -> frozenset[bytes]:
    """Of the practice's identities that were not destroyed; asked for where a letter is signed."""
    signed = any(one.letter.signed_by for one in letters)
    return run.keyring.smime_certificates() if signed else frozenset()


def _standing_now(run: Run, letters: Sequence[outbox.Queued]) -> dict[int, list[Row[Any]]]:
    """What the warehouse says of each letter, by its place among these, from 1."""
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    try:
        with run.warm_warehouse.connect() as connection:
            rows = connection.execute(
                text(load_sql(run.settings.home, "extract/last_look.sql")),
                {
                    **asking_now(run),
                    "patient_keys": [one.letter.patient_key for one in letters],
                    "appointment_keys": [one.letter.appointment_key for one in letters],
                    "medication_keys": [one.letter.medication_key for one in letters],
                    "at_portal": [one.letter.deposit is not None for one in letters],
                },
            )
            for row in rows:
                found[row.number].append(row)
            return found
    except DBAPIError as error:
        kind = type(error.orig).__name__
    raise StoreError(
        f"the warehouse did not answer the last look before a claim ({kind}); no letter of the"
        " batch was sent; when REENGAGE_WAREHOUSE_URL answers again, clear the `send` task"
    )
