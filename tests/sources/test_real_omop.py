"""The real OMOP tables: who is living, inactive and a candidate, by our SQL and by plain Python.

The expected sets come from the CSV files by the csv module alone. The files have dates without a
time; a day is that of the practice and of the campaigns, America/Chicago.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from databases import create_database
from questions import CAMPAIGNS, ask, candidates, cohort, keys
from reengage import warehouse
from reengage.contract import load_contract
from reengage.embedded.postgres import Postgres
from reengage.settings import HOME
from reengage.sources import loading
from reengage.sources.detect import source_of
from sqlalchemy import Connection, create_engine

DAYS = [
    date(2009, 9, 13),  # the day before a patient dies
    date(2009, 9, 14),  # that day
    date(2012, 2, 29),  # a leap day
    date(2014, 3, 9),  # clocks go forward
    date(2015, 11, 1),  # clocks go back
    date(2016, 6, 10),
    date(2018, 5, 31),
    date(2019, 5, 28),  # a patient dies
    date(2020, 4, 30),
    date(2021, 12, 31),
    date(2022, 9, 10),  # the last visit is 30 days ahead
    date(2022, 10, 31),  # after the last visit
    date(2023, 6, 1),
]


@dataclass(frozen=True)
class Exposure:
    """A row of DRUG_EXPOSURE, and the next of the same person and drug."""

    patient: str
    start: date
    last_day: date
    single: bool
    replaced: date | None


class Tables:
    """The CSV files, by nothing but the csv module."""

    def __init__(self, directory: Path) -> None:
        self.deaths = {
            row["person_id"]: date.fromisoformat(row["death_date"])
            for row in _rows(directory / "DEATH.csv")
        }
        self.persons = {row["person_id"] for row in _rows(directory / "PERSON.csv")}
        self.visits = [
            (row["person_id"], date.fromisoformat(row["visit_start_date"]))
            for row in _rows(directory / "VISIT_OCCURRENCE.csv")
        ]
        self.exposures = list(_exposures(_rows(directory / "DRUG_EXPOSURE.csv")))

    def living(self, day: date) -> set[str]:
        return {one for one in self.persons if one not in self.deaths or self.deaths[one] > day}

    def inactive(self, day: date) -> set[str]:
        """Seen until that day, and not in its last 180 days."""
        seen = {patient for patient, start in self.visits if start <= day}
        recent = {p for p, start in self.visits if day - timedelta(days=180) < start <= day}
        return (self.living(day) & seen) - recent

    def booked(self, day: date) -> set[str]:
        ahead = {p for p, start in self.visits if day < start <= day + timedelta(days=30)}
        return ahead & self.inactive(day)

    def medicated(self, day: date) -> set[str]:
        """A course that is not over, or a supply that lapsed at most 90 days ago."""
        inactive = self.inactive(day)
        return {
            one.patient
            for one in self.exposures
            if one.patient in inactive
            and one.start <= day
            and (one.replaced is None or one.replaced > day)
            and day <= one.last_day + timedelta(days=0 if one.single else 90)
        }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _exposures(rows: list[dict[str, str]]) -> Iterator[Exposure]:
    """No exposure of these files was stopped or refilled."""
    assert {(row["stop_reason"], row["refills"]) for row in rows} == {("", "0")}
    same = defaultdict(list)
    for row in rows:
        start, end = (
            date.fromisoformat(row[f"drug_exposure_{at}_date"]) for at in ("start", "end")
        )
        same[row["person_id"], row["drug_concept_id"]].append((start, end))
    for (patient, _), spans in same.items():
        spans.sort()
        until = date.min
        for at, (start, end) in enumerate(spans):
            until = max(until, end)
            following = spans[at + 1][0] if at + 1 < len(spans) else None
            yield Exposure(patient, start, until, len(spans) == 1, following)


@pytest.fixture(scope="module")
def tables(omop: Path) -> Tables:
    return Tables(omop)


@pytest.fixture(scope="module")
def connection(server: Postgres, omop: Path) -> Iterator[Connection]:
    """The loaded tables, as the campaigns may read them."""
    create_database(server, name="real_omop")
    engine = create_engine(server.url("real_omop"))
    report = loading.load(engine, source_of(omop), omop)
    engine.dispose()
    assert report.tables == {
        "person": 28, "death": 3, "location": 0, "care_site": 0, "visit_occurrence": 1791,
        "drug_exposure": 883, "concept": 82,
    }  # fmt: skip
    with warehouse.connect(server.url("real_omop", warehouse.READER)).connect() as connected:
        yield connected


def test_the_warehouse_keeps_the_contract(connection: Connection) -> None:
    assert warehouse.check(connection.engine, load_contract(HOME)) == []


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_sql_and_plain_python_find_the_same_patients(
    connection: Connection, tables: Tables, day: date
) -> None:
    inactive = tables.inactive(day)
    assert keys(ask(connection, cohort("living"), day)) == tables.living(day)
    assert keys(ask(connection, cohort("inactive"), day)) == inactive
    found = {slug: keys(ask(connection, candidates(slug), day, slug)) for slug in CAMPAIGNS}
    assert found == {
        "appointment_reminder": tables.booked(day),
        "health_education": inactive - tables.booked(day),
        "medication_reminder": tables.medicated(day),
    }


def test_the_days_are_worth_comparing(tables: Tables) -> None:
    assert all(tables.inactive(day) for day in DAYS)
    assert sum(bool(tables.booked(day)) for day in DAYS) >= 5
    assert sum(bool(tables.medicated(day)) for day in DAYS) >= 5
    assert len({len(tables.living(day)) for day in DAYS}) >= 2


def test_every_exposure_is_there_and_knows_its_end(connection: Connection) -> None:
    [found] = ask(
        connection,
        "SELECT count(*) AS all,"
        " count(*) FILTER (WHERE end_at IS NULL AND lapsed_on IS NULL) AS open,"
        " count(*) FILTER (WHERE name ~ '[0-9]{2,} MG') AS unsplit FROM contract.medication",
        DAYS[0],
    )
    assert found == {"all": 883, "open": 0, "unsplit": 0}
