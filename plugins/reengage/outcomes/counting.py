"""Counting: the cells, days and blocks of a report, as they were known on a day, from the store.

Pure questions: asked again for a past day they give the same, whatever became known since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection, text

from reengage.outcomes.cells import Cell
from reengage.outcomes.sequential import NOBODY, Block
from reengage.outcomes.survival import Lasted
from reengage.sql import load_sql

SLICES = ("language", "age_band", "service_line", "variant")
"""What a report divides its patients by; `all` besides."""


@dataclass(frozen=True)
class Question:
    """Which follow-ups, and what was known of them."""

    campaign: str
    cohort: int
    """The year in which they began, UTC."""
    day: date
    until: datetime
    """Up to when the warehouse told everything on that day."""

    def parameters(self) -> dict[str, object]:
        """Of the questions in sql/reports."""
        return {
            "campaign": self.campaign,
            "began": datetime(self.cohort, 1, 1, tzinfo=UTC),
            "ended": datetime(self.cohort + 1, 1, 1, tzinfo=UTC),
            "day": self.day,
            "until": self.until,
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
            mature=row.mature,
            within={"returned": row.returned, "booked": row.booked, "kept": row.kept},
            written=row.written,
            patients=row.patients,
        )
        for row in found
    ]


def lasted_of(connection: Connection, home: Path, asked: Question) -> dict[str, list[Lasted]]:
    """Arm -> how long its follow-ups lasted."""
    found = connection.execute(
        text(load_sql(home, "reports/outcome_lasted.sql")), asked.parameters()
    )
    lasted: dict[str, list[Lasted]] = {}
    for row in found:
        lasted.setdefault(row.arm, []).append(Lasted(row.day, row.came_back, row.patients))
    return lasted


def blocks_of(
    connection: Connection,
    home: Path,
    asked: Question,
    experiment: str,
    variants: tuple[str, str],
    horizon_days: int,
) -> list[Block]:
    """An experiment's patients by the day on which their horizon was over, in the order of days."""
    found = connection.execute(
        text(load_sql(home, "reports/experiment_blocks.sql")),
        {**asked.parameters(), "experiment": experiment, "hours": 24 * horizon_days},
    )
    blocks = []
    for _, rows in groupby(found, key=lambda row: row.over_on):
        counts = {row.variant: (row.mature, row.returned) for row in rows}
        a, b = (counts.get(name, (0, 0)) for name in variants)
        blocks.append(NOBODY + Block(*a, *b))
    return blocks
