"""Population: how many patients are alive, and how many of them stopped coming."""

from __future__ import annotations

from sqlalchemy import Connection, text

from reengage.pipeline.asking import asking
from reengage.pipeline.run import Run
from reengage.sql import load_sql


def population(source: Connection, sink: Connection, run: Run) -> tuple[int, int]:
    """Counts of living and inactive patients."""
    statement = load_sql(run.settings.home, "extract/population.sql")
    found = source.execute(text(statement), asking(run)).one()
    return found.living, found.inactive
