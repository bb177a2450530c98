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
from collections.abc import Sequence
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
    keys: Keys = {}
    numbers = staging.part_numbers(connection, run.run_id)
    parts = zip(numbers, staging.read_parts(connection, run.data_key, numbers), strict=True)
    for part, rows in parts:
        named = {run.pseudonym(row["patient_key"]): row for row in rows}
        _hand_over(connection, drawing, part, named)
        keys |= {
            patient: (row["patient_key"], row["appointment_key"]) for patient, row in named.items()
        }
    added = _begin(connection, run, drawing.experiment)
    _seal_keys(connection, run, keys)
    return added


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


def _seal_keys(connection: Connection, run: Run, keys: Keys) -> None:
    """Of those whose follow-up this run began; none else is needed again."""
    known = dict(keys)
    before = connection.execute(
        text("SELECT part, sealed FROM follow_up_key WHERE run_id = :r"), {"r": run.run_id}
    )
    for row in before:  # an extraction that was repeated stages in other parts, or not again
        known |= opened_keys(run.month_key, run.run_id, row.part, row.sealed)
    found = connection.execute(
        text("SELECT part, patient FROM follow_up WHERE run_id = :run_id"), {"run_id": run.run_id}
    )
    begun: dict[int, Keys] = {}
    for row in found:
        begun.setdefault(row.part, {})[row.patient] = known[row.patient]
    for part, named in sorted(begun.items()):
        content = json.dumps(named, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = run.month_key.seal(content, bound_to=_place(run.run_id, part))
        connection.execute(
            text(
                "INSERT INTO follow_up_key (run_id, part, sealed) VALUES (:run_id, :part, :sealed)"
                " ON CONFLICT (run_id, part) DO UPDATE SET sealed = excluded.sealed"
            ),
            {"run_id": run.run_id, "part": part, "sealed": sealed},
        )
