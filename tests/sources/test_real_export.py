"""The real export: who is living, inactive and a candidate, by our SQL and by plain Python.

The expected sets come from the CSV files by the csv module alone. A day begins and ends at midnight
of the campaign's time zone, America/Chicago, as in the statements.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from databases import create_database
from questions import CAMPAIGNS, ask, candidates, cohort, keys
from reengage import warehouse
from reengage.contract import load_contract
from reengage.embedded.postgres import Postgres
from reengage.settings import HOME
from reengage.sources import loading
from reengage.sources import synthea as source
from reengage.sql import load_sql
from sqlalchemy import Connection, create_engine, text

ZONE = ZoneInfo("America/Chicago")
DAY = date(2023, 6, 1)
DAYS = [
    DAY,
    date(2010, 1, 22),  # a first booking 31 days after
    date(2010, 1, 23),  # the same booking, 30 days after
    date(2011, 7, 4),
    date(2012, 2, 29),  # a leap day
    date(2013, 12, 31),
    date(2014, 3, 9),  # clocks go forward
    date(2015, 11, 1),  # clocks go back
    date(2016, 3, 31),  # a patient dies
    date(2016, 8, 26),  # 180 days after a leap day
    date(2017, 5, 15),
    date(2018, 6, 16),  # an inactive patient comes of age
    date(2019, 1, 1),
    date(2020, 4, 30),
    date(2021, 2, 26),  # the day before a patient dies
    date(2021, 2, 27),  # that day
    date(2022, 6, 15),
    date(2023, 10, 31),  # after the last encounter
]


@dataclass(frozen=True)
class Expected:
    """Patients of one day, as sets of their ids."""

    living: set[str]
    inactive: set[str]
    booked: dict[str, str]
    medicated: set[str]
    minors: set[str]


class Export:
    """The CSV files, by nothing but the csv module."""

    def __init__(self, directory: Path) -> None:
        self.patients = _rows(directory / "patients.csv")
        self.encounters = [
            (row["PATIENT"], _instant(row["START"]), row["Id"])
            for row in _rows(directory / "encounters.csv")
        ]
        self.medications = [
            (row["PATIENT"], _instant(row["START"]), row["STOP"] and _instant(row["STOP"]))
            for row in _rows(directory / "medications.csv")
        ]

    def expected(self, day: date, inactive_days: int = 180) -> Expected:
        """Who is what on that day."""
        ends = _midnight(day + timedelta(days=1))
        window = _midnight(day - timedelta(days=inactive_days - 1))
        booking_ends = _midnight(day + timedelta(days=31))
        living = {
            row["Id"]
            for row in self.patients
            if not row["DEATHDATE"] or date.fromisoformat(row["DEATHDATE"]) > day
        }
        seen = {patient for patient, start, _ in self.encounters if start < ends}
        recent = {patient for patient, start, _ in self.encounters if window <= start < ends}
        inactive = (living & seen) - recent
        booked: dict[str, tuple[datetime, str]] = {}
        for patient, start, key in self.encounters:
            if patient in inactive and ends <= start < booking_ends:
                booked[patient] = min(booked.get(patient, (start, key)), (start, key))
        return Expected(
            living,
            inactive,
            {patient: key for patient, (_, key) in booked.items()},
            {
                patient
                for patient, start, stop in self.medications
                if patient in inactive and start < ends and (not stop or stop >= ends)
            },
            {
                row["Id"]
                for row in self.patients
                if row["Id"] in inactive and _age(date.fromisoformat(row["BIRTHDATE"]), day) < 18
            },
        )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _instant(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE)


def _age(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


@pytest.fixture(scope="module")
def export(synthea: Path) -> Export:
    return Export(synthea)


@pytest.fixture(scope="module")
def connection(server: Postgres, synthea: Path) -> Iterator[Connection]:
    """The loaded export, as the campaigns may read it."""
    create_database(server, name="real_export")
    engine = create_engine(server.url("real_export"))
    report = loading.load(engine, source.SOURCE, synthea)
    engine.dispose()
    assert report.tables == {
        "patients": 111,
        "organizations": 215,
        "encounters": 7584,
        "medications": 6124,
    }
    with warehouse.connect(server.url("real_export", warehouse.READER)).connect() as connected:
        yield connected


def people(audience: str) -> str:
    """The statement up to where it knows who is a minor."""
    return (
        f"WITH {load_sql(HOME, 'extract/parts/cohort.sql')},"
        f" audience AS ({load_sql(HOME, f'extract/{audience}')}),"
        f" {load_sql(HOME, 'extract/parts/standing.sql')}"
        " SELECT patient_key FROM person WHERE minor"
    )


def test_the_day_of_the_main_run_has_the_numbers_that_are_promised(
    connection: Connection, export: Export
) -> None:
    [population] = ask(connection, load_sql(HOME, "extract/population.sql"), DAY)
    assert population == {"living": 100, "inactive": 29}
    found = {slug: len(ask(connection, candidates(slug), DAY, slug)) for slug in CAMPAIGNS}
    assert found == {"appointment_reminder": 5, "health_education": 24, "medication_reminder": 16}
    minors = [
        patient
        for slug in ("appointment_reminder", "health_education")
        for patient in keys(ask(connection, people(f"{slug}.sql"), DAY, slug))
    ]
    assert len(minors) == len(set(minors)) == 12
    expected = export.expected(DAY)
    assert len(expected.living) == 100
    assert len(expected.inactive) == 29
    assert len(expected.booked) == 5
    assert len(expected.inactive - set(expected.booked)) == 24
    assert len(expected.medicated) == 16
    assert expected.minors == set(minors)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_sql_and_plain_python_find_the_same_patients(
    connection: Connection, export: Export, day: date
) -> None:
    expected = export.expected(day)
    assert keys(ask(connection, cohort("living"), day)) == expected.living
    assert keys(ask(connection, cohort("inactive"), day)) == expected.inactive
    [population] = ask(connection, load_sql(HOME, "extract/population.sql"), day)
    assert population == {"living": len(expected.living), "inactive": len(expected.inactive)}

    found = {slug: keys(ask(connection, candidates(slug), day, slug)) for slug in CAMPAIGNS}
    assert found == {
        "appointment_reminder": set(expected.booked),
        "health_education": expected.inactive - set(expected.booked),
        "medication_reminder": expected.medicated,
    }
    minors = keys(ask(connection, people("health_education.sql"), day))
    assert minors == expected.minors - set(expected.booked)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_reminder_is_about_the_first_booking(
    connection: Connection, export: Export, day: date
) -> None:
    audience = (
        f"WITH {load_sql(HOME, 'extract/parts/cohort.sql')}"
        f" {load_sql(HOME, 'extract/appointment_reminder.sql')}"
    )
    found = ask(connection, audience, day, "appointment_reminder")
    assert {row["patient_key"]: row["appointment_key"] for row in found} == export.expected(
        day
    ).booked


def test_the_days_are_worth_comparing(export: Export) -> None:
    """Most of them have somebody in every set, and some a patient who dies later."""
    expected = [export.expected(day) for day in DAYS]
    assert all(one.inactive and one.medicated for one in expected)
    assert sum(bool(one.booked) for one in expected) >= 10
    assert sum(bool(one.minors) for one in expected) >= 10
    assert len({len(one.living) for one in expected}) >= 4


def test_the_warehouse_keeps_the_contract(connection: Connection) -> None:
    assert warehouse.check(connection.engine, load_contract(HOME)) == []


def test_the_consents_that_are_drawn_have_the_shares_that_are_documented(
    connection: Connection,
) -> None:
    [shares] = ask(
        connection,
        "SELECT count(DISTINCT patient_key) FILTER (WHERE purpose = 'email') / 111.0 AS email,"
        " count(DISTINCT patient_key) FILTER (WHERE purpose = 'marketing') / 111.0 AS marketing,"
        " count(*) FILTER (WHERE form_version <> 'synthetic-1') AS unmarked,"
        " (SELECT count(verified_at) FROM contract.contact) / 111.0 AS verified,"
        " (SELECT count(*) FROM contract.representative) / 111.0 AS represented,"
        " (SELECT count(*) FROM contract.contact WHERE email NOT LIKE '%@example.org') AS real"
        " FROM contract.authorization",
        DAY,
    )
    assert (shares.pop("unmarked"), shares.pop("real")) == (0, 0)
    found = {name: float(str(share)) for name, share in shares.items()}
    assert found["email"] == pytest.approx(0.92, abs=0.08)
    assert found["marketing"] == pytest.approx(0.30, abs=0.12)
    assert found["verified"] == pytest.approx(0.96, abs=0.05)
    assert found["represented"] == pytest.approx(0.80, abs=0.11)


def test_a_parent_signs_for_a_child_and_who_is_of_age_signs_alone(connection: Connection) -> None:
    """PRV-15, PRV-16: by the drawn forms."""
    found = ask(
        connection,
        "SELECT a.authorization_key LIKE 'synthetic-%-parent-%' AS named_so,"
        " a.representative_key IS NOT NULL AS by_parent, r.authority = 'parent' AS on_file,"
        " a.signed_at >= p.birth_date + INTERVAL '18 years' AS of_age, count(*) AS forms"
        " FROM contract.authorization AS a JOIN contract.patient AS p USING (patient_key)"
        " LEFT JOIN contract.representative AS r USING (patient_key, representative_key)"
        " GROUP BY 1, 2, 3, 4",
        DAY,
    )
    forms = {tuple(row.values())[:4]: row["forms"] for row in found}
    assert set(forms) == {(True, True, True, False), (False, False, None, True)}


def test_no_social_security_number_passport_or_street_reaches_the_warehouse(
    server: Postgres, synthea: Path, connection: Connection
) -> None:
    """PRV-18, on the real file: what is not needed is not there."""
    unread = [
        row[column]
        for row in _rows(synthea / "patients.csv")
        for column in ("SSN", "DRIVERS", "PASSPORT", "ADDRESS", "LAT")
        if row[column]
    ]
    engine = create_engine(server.url("real_export"))
    with engine.connect() as administrator:
        held = "\n".join(
            administrator.execute(text("SELECT CAST(p AS text) FROM synthea.patients p")).scalars()
        )
    engine.dispose()
    assert len(unread) > 300
    assert [value for value in unread if value in held] == []
