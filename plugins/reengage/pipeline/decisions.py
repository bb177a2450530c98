"""Decisions: the record of who might be written to on a day, and why or why not.

One row per candidate: a pseudonym, the codes, and sealed under the month's key what names the
patient and the rows of the warehouse that the decision rests on. Partitioned by month and kept for
six years (SEC-19); the funnel sums this table, and `why` opens it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage import staging
from reengage.errors import KeyringError
from reengage.keys import DataKey
from reengage.pipeline.run import Run

_COLUMNS = "campaign_date, run_id, patient, reasons, notes, arm, sealed"


@dataclass(frozen=True)
class Decided:
    """A candidate's row as it may be staged, and what was decided."""

    row: staging.Row
    patient: str
    """The pseudonym."""
    reasons: list[str]
    notes: list[str]
    """What is odd about the data and stops nobody, e.g. a time zone that does not exist."""
    evidence: Mapping[str, Any]
    """The rows of the warehouse that it rests on: keys and instants, no address, no name."""
    done: bool = False
    """A letter of this very day exists: there is nothing to compose."""


def require_month_key(sink: Connection, run: Run) -> None:
    """Refuse a month that has decisions and has lost their key; makes nothing.

    A new key in its place would leave them closed for good, unnoticed until somebody asks why.
    Raises KeyringError (SEC-19).
    """
    if run.keyring.has_month_key(run.day):
        return
    first = run.day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    found = sink.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM decision WHERE sealed IS NOT NULL"
            " AND campaign_date >= :first AND campaign_date < :following)"
        ),
        {"first": first, "following": following},
    ).scalar_one()
    if found:
        month = f"{run.day:%Y-%m}"
        raise KeyringError(
            f"the decisions of {month} are sealed under a key that is not in the keyring; restore"
            f" months/{month}.key from the newest key backup. Where there is none, what they rest"
            f" on is lost: set `sealed` to null in the store's table decision_{run.day:%Y_%m}, and"
            " start again"
        )


def keep(sink: Connection, run: Run, decided: Sequence[Decided]) -> None:
    """Record the decisions of the run's day; preflight has made its partition."""
    require_month_key(sink, run)
    key = run.keyring.create_month_key(run.day)
    driver: Any = sink.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY decision ({_COLUMNS}) FROM STDIN") as copy:
        for one in decided:
            arm = None if one.reasons else "write"
            sealed = key.seal(_content(one), bound_to=_place(run.run_id, one.patient))
            copy.write_row((run.day, run.run_id, one.patient, one.reasons, one.notes, arm, sealed))


def opened(key: DataKey, run_id: UUID, patient: str, sealed: bytes) -> dict[str, Any]:
    """The patient's key in the warehouse (`patient_key`) and the evidence of a kept decision."""
    found: dict[str, Any] = json.loads(key.open(sealed, bound_to=_place(run_id, patient)))
    return found


def _content(one: Decided) -> bytes:
    kept = {"patient_key": one.row["patient_key"], **one.evidence}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def _place(run_id: UUID, patient: str) -> str:
    return f"decision/{run_id}/{patient}"
