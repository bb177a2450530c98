"""Enrol: a follow-up begins for everybody whose arm was drawn, written to or held out (ADR 0032).

It begins in the same instant for both arms, before anything can keep a letter from leaving: what is
refused, withheld or put off stays where it was drawn (intention to treat). One follow-up per
campaign, patient and period, as one letter; who is held out is enrolled as seldom as they would
have been written to. Only the first of a patient in the campaign counts: who is followed again was
selected by what the first letter did. What the warehouse must be asked by later, the patients'
keys, are sealed in parts under the month's key, apart from the follow-ups, and go when their days
are over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage import staging
from reengage.keys import DataKey
from reengage.pipeline.run import Run
from reengage.pipeline.variants import Drawing, variants_of
from reengage.sql import load_sql

Keys = dict[str, Sequence[str | None]]
"""Pseudonym -> the warehouse's keys of patient and, where a letter is about one, appointment."""

_COLUMNS = "patient, period, part, experiment, variant"


def enrol(connection: Connection, run: Run) -> int:
    """Begin the run's follow-ups, in the transaction that draws the arms; gives how many are new.

    Repeating it begins none twice, and ends those of patients whom an extraction that was repeated
    no longer found. A rehearsal begins none.
    """
    if run.mode != "live":
        return 0
    _create_table(connection)
    drawing = variants_of(connection, run)
    for part, named in _named(connection, run):
        _hand_over(connection, drawing, part, named)
    added = _begin(connection, run, drawing.experiment)
    for part, named in _named(connection, run):
        _seal_keys(connection, run, part, named)
    for part in _parts_no_longer_staged(connection, run):
        _seal_keys(connection, run, part, {})
    return added


def _named(connection: Connection, run: Run) -> Iterator[tuple[int, dict[str, staging.Row]]]:
    """The batch by pseudonym, one part in memory at a time."""
    numbers = staging.part_numbers(connection, run.run_id)
    parts = staging.read_parts(connection, run.data_key, numbers)
    for part, rows in zip(numbers, parts, strict=True):
        yield part, {run.pseudonym(row["patient_key"]): row for row in rows}


def _parts_no_longer_staged(connection: Connection, run: Run) -> Sequence[int]:
    """Parts whose keys an earlier try sealed, where the extraction was repeated and found fewer."""
    found = connection.execute(
        text(
            "SELECT part FROM follow_up_key WHERE run_id = :run_id"
            " AND part NOT IN (SELECT part FROM batch_part WHERE run_id = :run_id) ORDER BY part"
        ),
        {"run_id": run.run_id},
    )
    return found.scalars().all()


def _place(run_id: UUID, part: int) -> str:
    return f"follow-up/{run_id}/{part}"


def _create_table(connection: Connection) -> None:
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE drawn (patient text, period text, part int, experiment text,"
            " variant text) ON COMMIT DROP"
        )
    )


def _hand_over(
    connection: Connection, drawing: Drawing, part: int, named: dict[str, staging.Row]
) -> None:
    driver: Any = connection.connection.driver_connection
    experiment = drawing.experiment
    with driver.cursor() as cursor, cursor.copy(f"COPY drawn ({_COLUMNS}) FROM STDIN") as copy:
        for patient, row in named.items():
            variant = drawing.draw(patient) if experiment else None
            copy.write_row((patient, row["period_key"], part, experiment, variant))


def _begin(connection: Connection, run: Run, experiment: str | None) -> int:
    begins_at: datetime = run.settings.now()
    asked = {
        "run_id": run.run_id,
        "campaign": run.campaign.slug,
        "day": run.day,
        "begins_at": begins_at,
        "capped_since": run.day - timedelta(days=run.campaign.caps.days_between_letters),
    }
    home = run.settings.home
    connection.execute(text(load_sql(home, "outcomes/forget_undrawn.sql")), asked)
    return connection.execute(text(load_sql(home, "outcomes/enrol.sql")), asked).rowcount


def opened_keys(key: DataKey, run_id: UUID, part: int, sealed: bytes) -> Keys:
    """The keys of one part. Raises KeyringError where it does not open."""
    found: Keys = json.loads(key.open(sealed, bound_to=_place(run_id, part)))
    return found


def _seal_keys(
    connection: Connection, run: Run, part: int, named: Mapping[str, staging.Row]
) -> None:
    """Of those of the part whose follow-up this run began; none else is needed again."""
    of = {"run_id": run.run_id, "part": part}
    begun = connection.execute(
        text("SELECT patient FROM follow_up WHERE run_id = :run_id AND part = :part"), of
    ).scalars()
    before = connection.execute(
        text("SELECT sealed FROM follow_up_key WHERE run_id = :run_id AND part = :part"), of
    ).scalar_one_or_none()
    known: Keys = {
        patient: (row["patient_key"], row["appointment_key"]) for patient, row in named.items()
    }
    if before is not None:  # by an earlier try, which began some of them
        known |= opened_keys(run.month_key, run.run_id, part, before)
    keys = {patient: known[patient] for patient in begun}
    if not keys:
        connection.execute(
            text("DELETE FROM follow_up_key WHERE run_id = :run_id AND part = :part"), of
        )
        return
    content = json.dumps(keys, ensure_ascii=False, separators=(",", ":")).encode()
    sealed = run.month_key.seal(content, bound_to=_place(run.run_id, part))
    connection.execute(
        text(
            "INSERT INTO follow_up_key (run_id, part, sealed) VALUES (:run_id, :part, :sealed)"
            " ON CONFLICT (run_id, part) DO UPDATE SET sealed = excluded.sealed"
        ),
        {**of, "sealed": sealed},
    )
