"""Population: how many patients are alive, and how many of them stopped coming.

The count reads everybody's history, the decisions only the candidates': both are made at once, in
one snapshot of the warehouse, so that none waits for the other (ADR 0017). The count has a session
of its own and there one process, since the other cores are at work on the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from reengage.pipeline.asking import asking
from reengage.pipeline.run import Run
from reengage.sql import load_sql

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


@contextmanager
def counting(source: Connection, run: Run) -> Iterator[Callable[[], tuple[int, int]]]:
    """Begin the count; gives what waits for its end and tells the living and the inactive.

    Opens the snapshot of `source`, which has asked nothing yet, and has the count read in it, too.
    What the warehouse refuses is raised as the driver's error, here or by what is given.
    """
    statement, asked = load_sql(run.settings.home, "extract/population.sql"), asking(run)
    source.execute(text(_SNAPSHOT))
    snapshot = source.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    with run.warehouse.connect() as aside, ThreadPoolExecutor(1) as thread:
        aside.execute(text(_SNAPSHOT))
        # No bind parameter may stand there; the name is the server's own.
        aside.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
        aside.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
        # All of its locks before `source` has any: a load that waits for one cannot make both wait.
        aside.execute(text("SELECT FROM contract.patient, contract.visit LIMIT 0"))
        yield thread.submit(_count, aside, statement, asked).result


def _count(aside: Connection, statement: str, asked: dict[str, Any]) -> tuple[int, int]:
    found = aside.execute(text(statement), asked).one()
    return found.living, found.inactive
