"""Frequency caps across campaigns: at the decision, at the claim, and when two claim at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from daily import Practice
from ready import LETTERS, Ready, run_of
from reengage.pipeline import outbox
from reengage.pipeline.extract import extract
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from sqlalchemy import Connection, text
from world import DAY, NOW

EDUCATION, REMINDER, MEDICATION = "health_education", "appointment_reminder", "medication_reminder"

LETTERS_OF_OTHERS: dict[str, tuple[str, str, int, bool]] = {
    # whose letter, its state, days before the campaign date, whether the cap of 7 days holds
    "yesterday": (REMINDER, "sent", 1, True),
    "the last day that counts": (REMINDER, "sent", 6, True),
    "the first that does not": (REMINDER, "sent", 7, False),
    "of the other campaign": (MEDICATION, "sent", 6, True),
    "today, sent": (MEDICATION, "sent", 0, True),
    "today, claimed": (MEDICATION, "claimed", 0, True),
    "today, still open": (MEDICATION, "composed", 0, False),  # the claims decide who goes first
    "today, waiting": (MEDICATION, "deferred", 0, False),
    "open since yesterday": (MEDICATION, "composed", 1, True),
    "waiting since long": (MEDICATION, "deferred", 6, True),
    "waiting for too long": (MEDICATION, "deferred", 7, False),
    "attempted": (REMINDER, "attempted", 2, True),
    "perhaps delivered": (REMINDER, "unknown", 6, True),
    "the relay refused it": (REMINDER, "refused", 1, False),
    "offered to nobody": (REMINDER, "withheld", 1, False),
    "a rehearsal": (REMINDER, "rehearsed", 1, False),
    "a rehearsal that did not end": (MEDICATION, "rehearsal", 1, False),
    "of a later day": (REMINDER, "sent", -1, False),  # a rehearsal knows no future
}


def test_a_letter_of_another_campaign_counts_until_the_cap_is_over(practice: Practice) -> None:
    keys = {f"c{number}": name for number, name in enumerate(LETTERS_OF_OTHERS)}
    earlier, run = (practice.open(EDUCATION, dry=True) for _ in range(2))
    with run.store.begin() as connection:
        for key, name in keys.items():
            practice.world.patient(key, appointment=None)
            campaign, state, days, _ = LETTERS_OF_OTHERS[name]
            letter_of(connection, earlier, run.pseudonym(key), campaign, state, days)
    extract(run)
    assert {keys[key]: found for key, found in practice.reasons(run).items()} == {
        name: ["frequency_cap"] if holds else []
        for name, (_, _, _, holds) in LETTERS_OF_OTHERS.items()
    }


def test_whoever_has_an_appointment_is_reminded_whatever_else_was_written(
    practice: Practice,
) -> None:
    run = practice.open(REMINDER, dry=True)
    with run.store.begin() as connection:
        for days in (0, 1):
            practice.world.patient(f"p{days}")
            letter_of(connection, run, run.pseudonym(f"p{days}"), EDUCATION, "sent", days)
    extract(run)
    assert practice.reasons(run) == {"p0": [], "p1": []}


AT_THE_CLAIM: dict[str, tuple[str, int, bool]] = {
    # a letter of another campaign: its state, days before this one, whether the cap of 7 holds
    "p0": ("sent", 6, True),
    "p1": ("sent", 7, False),
    "p2": ("composed", 0, False),
    "p3": ("claimed", 0, True),
    "p4": ("unknown", -6, True),
}


def test_the_claim_keeps_to_the_cap_across_campaigns(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.begin() as connection:
        for key, (state, days, _) in AT_THE_CLAIM.items():
            letter_of(connection, run, run.pseudonym(key), EDUCATION, state, days)
    claimed = claimed_of(capped(run, REMINDER, days=7))
    assert claimed == {key for key, (_, _, holds) in AT_THE_CLAIM.items() if not holds}
    assert claimed_of(run) == set(AT_THE_CLAIM)  # its own cap is none


def test_of_two_campaigns_that_claim_a_patient_at_once_one_writes(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    second = capped(run, MEDICATION, days=2)
    with run.store.connect() as one, run.store.connect() as two, ThreadPoolExecutor() as pool:
        letters = open_letters(one, run)
        others = [replace(letter, letter_id=copied(one, letter)) for letter in reversed(letters)]
        one.commit()
        assert len(claim(one, run, letters)) == LETTERS
        later = pool.submit(claim, two, second, others)
        wait_until_it_waits(run, later)
        one.commit()
        assert later.result(timeout=60) == []
        two.commit()
    found = ready_practice.rows(
        "SELECT campaign, state, reason, count(*) AS n FROM letter WHERE rehearsal IS NULL"
        " GROUP BY campaign, state, reason ORDER BY campaign"
    )
    assert [tuple(row.values()) for row in found] == [
        (REMINDER, "claimed", None, LETTERS),
        (MEDICATION, "withheld", "frequency_cap", LETTERS),
    ]


def capped(run: Run, slug: str, *, days: int) -> Run:
    """The run as that of a campaign which waits so many days after a letter of any other."""
    caps = run.campaign.caps.model_copy(update={"days_after_any_letter": days})
    return replace(run, campaign=run.campaign.model_copy(update={"slug": slug, "caps": caps}))


def open_letters(connection: Connection, run: Run) -> list[Queued]:
    return outbox.open_letters(connection, run, 0)


def claim(connection: Connection, run: Run, letters: Sequence[Queued]) -> list[Queued]:
    return outbox.claim(
        connection,
        run,
        letters,
        token=uuid4(),
        denied={},
        consents={one.letter_id: {"email": NOW.isoformat()} for one in letters},
        warehouse_read_at=outbox.clock(connection),
        baa_id="baa-1",
    )


def claimed_of(run: Run) -> set[str]:
    """Whose letters a claim would get; it is not committed."""
    with run.store.connect() as connection:
        found = claim(connection, run, open_letters(connection, run))
        return {one.letter.patient_key for one in found}


def wait_until_it_waits(run: Run, other: Future[list[Queued]]) -> None:
    """Return once the other claim stands in line, or is through already."""
    with run.store.connect() as connection:
        while not other.done():
            waiting = connection.execute(
                text(
                    "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
                    " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
                )
            ).scalar_one()
            if waiting:
                return


def copied(connection: Connection, one: Queued) -> object:
    """The same letter as one of the medication reminder."""
    return connection.execute(
        text(
            "INSERT INTO letter (campaign, patient, period, run_id, campaign_date, sender_run_id,"
            " chunk, message_id, sealed, template_sha256, expires_at, checked_at)"
            " SELECT :campaign, patient, period, run_id, campaign_date, sender_run_id, 1,"
            " message_id, sealed, template_sha256, expires_at, checked_at"
            " FROM letter WHERE letter_id = :id RETURNING letter_id"
        ),
        {"campaign": MEDICATION, "id": one.letter_id},
    ).scalar_one()


def letter_of(
    connection: Connection, run: Run, patient: str, campaign: str, state: str, days: int
) -> None:
    """A letter of a campaign to this patient, `days` before the day."""
    connection.execute(
        text(
            "INSERT INTO letter (campaign, patient, period, rehearsal, run_id, campaign_date,"
            " sender_run_id, chunk, state, message_id, sealed, template_sha256, expires_at)"
            " VALUES (:campaign, :patient, 'x', :rehearsal, :run, :day, :run, 9, :state, '<x@y>',"
            " '', '', :expires)"
        ),
        {
            "campaign": campaign,
            "patient": patient,
            "rehearsal": run.run_id if state in ("rehearsed", "rehearsal") else None,
            "run": run.run_id,
            "day": DAY - timedelta(days=days),
            "state": "composed" if state == "rehearsal" else state,
            "expires": NOW + timedelta(days=2),
        },
    )
