"""The real export through a year: our outcomes and those of the CSV files are the same.

A month at a time campaigns draw their arms, and the day's outcomes are asked for. Expected is
what the csv module and a few lines of plain Python find; an encounter counts as booked 30 days
before it, as the source has it. Twelve months with one campaign each, in turn; all of them in each
of 36 months with REENGAGE_EVERY_MONTH=1.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from daily import Practice
from databases import create_database
from following import enrolled, observed
from reengage.embedded.postgres import Postgres
from reengage.keys import open_keyring
from reengage.outcomes.cells import HORIZONS, by_level, count
from reengage.outcomes.counting import Question, cells_of
from reengage.settings import HOME
from reengage.sources import loading
from reengage.sources import synthea as source
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine
from world import World

pytestmark = pytest.mark.long

ZONE = ZoneInfo("America/Chicago")
CAMPAIGNS = ("appointment_reminder", "medication_reminder", "health_education")
EVERY = bool(os.environ.get("REENGAGE_EVERY_MONTH"))
MONTHS = 36 if EVERY else 12
FIRST = date(2023, 3, 1) - timedelta(days=31 * MONTHS)
DAYS = [FIRST + timedelta(days=31 * n) for n in range(MONTHS)]
ASKED = [FIRST + timedelta(days=31 * n - 1) for n in range(1, MONTHS + 8)]
"""The days that are asked about: until the last follow-up is over."""


@dataclass(frozen=True)
class Expected:
    """What became of a patient, by the files."""

    returned_at: datetime | None
    booked_at: datetime | None
    appointment_at: datetime | None
    kept: bool | None


class Export:
    """Patients and encounters, by nothing but the csv module."""

    def __init__(self, directory: Path) -> None:
        self.patients = {row["Id"]: row for row in _rows(directory / "patients.csv")}
        self.visits: dict[str, list[tuple[datetime, str, str]]] = {}
        for row in _rows(directory / "encounters.csv"):
            self.visits.setdefault(row["PATIENT"], []).append(
                (datetime.fromisoformat(row["START"]), row["Id"], row["ENCOUNTERCLASS"])
            )

    def expected(
        self, patient: str, begun: datetime, day: date, *, reminder: bool
    ) -> Expected | None:
        """None = nothing is known."""
        ends = datetime.combine(day + timedelta(days=1), time(), ZONE)
        visits = sorted(self.visits[patient])
        after = [start for start, _, _ in visits if begun < start < ends]
        if reminder:  # about the first encounter ahead, booked by then
            ahead = [start for start, _, _ in visits if start > begun]
            booked, appointment = None, min(ahead)
        else:
            since = [s for s, _, _ in visits if begun < s - timedelta(days=30) < ends]
            appointment = min(since, default=None)
            booked = appointment and appointment - timedelta(days=30)
        kept = None
        if appointment and appointment < ends:
            kept = any(s.astimezone(ZONE).date() == appointment.astimezone(ZONE).date()
                       for s in after)  # fmt: skip
        if not after and not appointment:
            return None
        return Expected(min(after, default=None), booked, appointment, kept)

    def groups(self, patient: str, begun: datetime) -> dict[str, str]:
        row = self.patients[patient]
        local = begun.astimezone(ZONE).date()
        born = date.fromisoformat(row["BIRTHDATE"])
        age = local.year - born.year - ((local.month, local.day) < (born.month, born.day))
        bands = ((18, "0-17"), (40, "18-39"), (65, "40-64"), (80, "65-79"))
        at = max(start for start, _, _ in self.visits[patient] if start <= begun)
        last = min(one for one in self.visits[patient] if one[0] == at)
        return {
            "language": "es" if row["ETHNICITY"] == "hispanic" else "en",
            "age_band": next((band for below, band in bands if age < below), "80+"),
            "service_line": last[2],
        }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Year:
    """The practice after its year, and who the pseudonyms are."""

    practice: Practice
    names: dict[str, str]

    def known(self, day: date) -> dict[int, Expected]:
        """What was known of a follow-up on a day; of some, nothing."""
        rows = self.practice.rows(
            "SELECT DISTINCT ON (follow_up_id) follow_up_id, returned_at, booked_at,"
            " appointment_at, kept FROM outcome WHERE known_on <= :day"
            " ORDER BY follow_up_id, known_on DESC",
            day=day,
        )
        found = {int(row.pop("follow_up_id")): Expected(**row) for row in rows}  # type: ignore
        return {n: one for n, one in found.items() if one != Expected(None, None, None, None)}

    def follow_ups(self, campaign: str) -> list[dict[str, Any]]:
        return self.practice.rows(
            "SELECT * FROM follow_up WHERE campaign = :c ORDER BY follow_up_id", c=campaign
        )


@pytest.fixture(scope="module")
def export(synthea: Path) -> Export:
    return Export(synthea)


@pytest.fixture(scope="module")
def year(server: Postgres, synthea: Path, export: Export, tmp_path_factory: Any) -> Iterator[Year]:
    base = tmp_path_factory.mktemp("year")
    create_database(server, name="year_warehouse")
    create_database(server, "store", "year_store")
    engine = create_engine(server.url("year_warehouse"))
    loading.load(engine, source.SOURCE, synthea)
    with HostileRelay(good(base / "certificates")) as relay:
        world = World(server.url("year_warehouse"), engine)
        practice = Practice.create(world, server.url("year_store"), HOME, base, relay)
        for number, day in enumerate(DAYS):
            noon = datetime.combine(day, time(12), ZONE).astimezone(UTC)
            for campaign in CAMPAIGNS if EVERY else [CAMPAIGNS[number % 3]]:
                enrolled(practice, noon, campaign)
            for campaign in CAMPAIGNS:
                observed(practice, day + timedelta(days=30), campaign)
        for day in ASKED[MONTHS:]:
            for campaign in CAMPAIGNS:
                observed(practice, day, campaign)
        keyring = open_keyring(practice.settings.keyring)
        yield Year(practice, {keyring.pseudonym("patient", key): key for key in export.patients})
    engine.dispose()


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_every_outcome_is_that_of_the_files(
    year: Year, export: Export, campaign: str, asked: date
) -> None:
    ends = datetime.combine(asked + timedelta(days=1), time(), ZONE)
    found = year.known(asked)
    for one in year.follow_ups(campaign):
        if one["begins_at"] >= ends or ends - one["begins_at"] > timedelta(days=210):
            continue
        expected = export.expected(
            year.names[one["patient"]], one["begins_at"], asked,
            reminder=campaign == "appointment_reminder",
        )  # fmt: skip
        assert found.get(one["follow_up_id"]) == expected


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_count_is_that_of_the_files(year: Year, export: Export, campaign: str) -> None:
    """By horizon, arm and group, before anything is withheld: the export is too small to tell."""
    counts: Counter[tuple[str, ...]] = Counter()
    for one in year.follow_ups(campaign):
        if not one["counts"]:
            continue
        patient, begun = year.names[one["patient"]], one["begins_at"]
        expected = export.expected(
            patient, begun, ASKED[-1], reminder=campaign == "appointment_reminder"
        )
        for slice_, level in (("all", "all"), *export.groups(patient, begun).items()):
            for days in HORIZONS:
                key = (str(begun.year), one["arm"], slice_, level, str(days))
                counts[*key, "patients"] += 1
                back = expected.returned_at if expected else None
                counts[*key, "returned"] += bool(back and back < begun + timedelta(days=days))
    assert _counted(year, campaign) == +counts


def _counted(year: Year, campaign: str) -> Counter[tuple[str, ...]]:
    engine = create_engine(year.practice.settings.store_url)
    counts: Counter[tuple[str, ...]] = Counter()
    with engine.connect() as connection:
        for cohort in range(FIRST.year, 2024):
            asked = Question(campaign, date(cohort, 1, 1), date(cohort + 1, 1, 1), ASKED[-1])
            cells = cells_of(connection, HOME, asked)
            for arm, days in product(("write", "holdout"), HORIZONS):
                mine = [cell for cell in cells if cell.arm == arm]
                groups = {("all", "all"): count(mine, days)}
                for place, slice_ in enumerate(("language", "age_band", "service_line")):
                    for level, group in by_level(mine, place, days).items():
                        groups[slice_, level] = group
                for (slice_, level), group in groups.items():
                    key = (str(cohort), arm, slice_, level, str(days))
                    counts[*key, "patients"] += group.patients
                    counts[*key, "returned"] += group.returned
    engine.dispose()
    return +counts


def test_the_year_is_worth_comparing(year: Year) -> None:
    [row] = year.practice.rows(
        "SELECT count(DISTINCT follow_up_id) AS followed, count(DISTINCT o.follow_up_id)"
        " FILTER (WHERE returned_at IS NOT NULL) AS back, count(DISTINCT o.follow_up_id)"
        " FILTER (WHERE booked_at IS NOT NULL) AS booked, bool_or(kept) AS kept,"
        " count(DISTINCT arm) AS arms FROM follow_up LEFT JOIN outcome o USING (follow_up_id)"
    )
    assert row["followed"] > 40  # type: ignore[operator]
    assert row["back"] > 10  # type: ignore[operator]
    assert row["booked"] > 2  # type: ignore[operator]
    assert (row["kept"], row["arms"]) == (True, 2)
