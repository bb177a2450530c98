"""Counting: the cells and days of a group of follow-ups, as they were known on a day.

Pure questions of the store: asked again for a past day they give the same, whatever became known
since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from sqlalchemy import Connection, text

from reengage.outcomes.cells import Cell
from reengage.sql import load_sql

SLICES = ("language", "age_band", "service_line", "variant")
"""What a report divides its patients by; `all` besides."""

Days = dict[tuple[str, int], int]
"""Arm and day after the follow-up began, 0 to 179 -> how many came back on it."""


@dataclass(frozen=True)
class Question:
    """Which follow-ups: those of the campaign that began from one day on, and before another."""

    campaign: str
    began: date
    ended: date
    day: date
    """What became known later is not known."""

    def parameters(self) -> dict[str, object]:
        """Of the questions in sql/reports."""
        return {
            "campaign": self.campaign,
            "began": datetime.combine(self.began, time(), UTC),
            "ended": datetime.combine(self.ended, time(), UTC),
            "day": self.day,
        }


def cells_of(connection: Connection, home: Path, asked: Question) -> list[Cell]:
    """The counted follow-ups, by all that is told of them."""
    found = connection.execute(
        text(load_sql(home, "reports/outcome_cells.sql")), asked.parameters()
    )
    return [
        Cell(
            arm=row.arm,
            levels=tuple(getattr(row, slice_) for slice_ in SLICES),
            within={"returned": row.returned, "booked": row.booked, "kept": row.kept},
            written=row.written,
            patients=row.patients,
        )
        for row in found
    ]


def days_of(connection: Connection, home: Path, asked: Question) -> Days:
    """On which day after it began how many came back."""
    found = connection.execute(text(load_sql(home, "reports/outcome_days.sql")), asked.parameters())
    return {(row.arm, row.day): row.patients for row in found}
