"""The count of the living and of those who stopped coming, in the extraction's own snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from daily import Practice
from eligibility import APPOINTMENT, fill
from eligibility_people import CASES
from gates import gate_practice
from reengage.embedded import postgres
from reengage.pipeline import population
from reengage.pipeline.asking import asking
from reengage.pipeline.population import counting
from reengage.pipeline.run import Run
from reengage.settings import HOME
from reengage.sql import load_sql
from sqlalchemy import text
from world import NOW

VISITS: dict[str, dict[str, Any] | None] = {
    "never came": None,
    "cancelled": {"status": "cancelled"},
    "comes tomorrow": {"start_at": NOW + timedelta(days=1), "status": "planned"},
    "came back": {},
}


@pytest.fixture(scope="module")
def practice(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    """All cases of the table in one warehouse."""
    with gate_practice(server, tmp_path_factory.mktemp("population")) as made:
        fill(made.world, CASES)
        for key, visit in VISITS.items():
            made.world.patient(key, visit=visit)
        made.world.set("visit", visit_key="later", patient_key="came back", start_at=NOW,
                       end_at=None, status="finished", service_line=None)  # fmt: skip
        yield made


def counted(run: Run) -> tuple[int, int]:
    with run.warehouse.connect() as source, counting(source, run) as told:
        return told()


def test_it_counts_whom_the_audiences_ask_about(practice: Practice) -> None:
    run = practice.open(APPOINTMENT, dry=True)
    cohort = load_sql(HOME, "extract/parts/cohort.sql")
    counts = "(SELECT count(*) FROM living), (SELECT count(*) FROM inactive)"
    with run.warehouse.connect() as source:
        [row] = source.execute(text(f"WITH {cohort} SELECT {counts}"), asking(run))
    living, inactive = row
    assert counted(run) == (living, inactive)
    assert living > inactive > 0


def test_what_is_loaded_meanwhile_is_not_counted(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = practice.open(APPOINTMENT, dry=True)
    before, count = counted(run), population._count

    def after_a_load(*asked: Any) -> tuple[int, int]:
        practice.world.patient("late")
        return count(*asked)

    monkeypatch.setattr(population, "_count", after_a_load)
    assert counted(run) == before
    monkeypatch.undo()
    assert counted(run) == (before[0] + 1, before[1] + 1)
