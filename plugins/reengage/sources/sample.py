"""The sample warehouse: a made-up practice in Synthea's CSV layout, for a machine without data.

Deterministic: equal arguments give equal bytes, on any platform, since only `Random.random` of a
seed per patient is drawn from. Streams, one patient at a time. Nobody in it exists.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from reengage.errors import SourceDataError
from reengage.sources.csvfile import FIRST_YEAR, LAST_YEAR

_HEADERS = {
    "patients": (
        "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,LAST,SUFFIX,MAIDEN,MARITAL,"
        "RACE,ETHNICITY,GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,"
        "HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME"
    ),
    "organizations": ("Id,NAME,ADDRESS,CITY,STATE,ZIP,LAT,LON,PHONE,REVENUE,UTILIZATION"),
    "providers": (
        "Id,ORGANIZATION,NAME,GENDER,SPECIALITY,ADDRESS,CITY,STATE,ZIP,LAT,LON,ENCOUNTERS,"
        "PROCEDURES"
    ),
    "payers": (
        "Id,NAME,OWNERSHIP,ADDRESS,CITY,STATE_HEADQUARTERED,ZIP,PHONE,AMOUNT_COVERED,"
        "AMOUNT_UNCOVERED,REVENUE,COVERED_ENCOUNTERS,UNCOVERED_ENCOUNTERS,"
        "COVERED_MEDICATIONS,UNCOVERED_MEDICATIONS,COVERED_PROCEDURES,UNCOVERED_PROCEDURES,"
        "COVERED_IMMUNIZATIONS,UNCOVERED_IMMUNIZATIONS,UNIQUE_CUSTOMERS,QOLS_AVG,"
        "MEMBER_MONTHS"
    ),
    "encounters": (
        "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
        "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION"
    ),
    "medications": (
        "START,STOP,PATIENT,PAYER,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,PAYER_COVERAGE,"
        "DISPENSES,TOTALCOST,REASONCODE,REASONDESCRIPTION"
    ),
    "conditions": ("START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"),
}

_FIRST = (
    "Ana", "Ben", "Carla", "Dean", "Elena", "Frank", "Grace", "Hugo", "Iris", "Jorge",
    "Karen", "Luis", "Maria", "Nathan", "Olga", "Pablo", "Quinn", "Rosa", "Samuel",
    "Teresa", "Ulises", "Vera", "Walter", "Ximena", "Yusuf", "Zoe",
)  # fmt: skip
_LAST = (
    "Abbott", "Barrera", "Carlson", "Delgado", "Ellison", "Fuentes", "Garner", "Herrera",
    "Ingram", "Jensen", "Keller", "Lozano", "Morrow", "Navarro", "Ortega", "Prescott",
    "Quintana", "Rivas", "Sutton", "Tovar", "Underhill", "Vance", "Whitaker", "Yates",
    "Zamora",
)  # fmt: skip
_PLACES = (
    ("Nebraska", "Omaha", "68102"),
    ("Iowa", "Council Bluffs", "51501"),
    ("Kansas", "Topeka", "66603"),
    ("Colorado", "Denver", "80202"),
    ("California", "Fresno", "93701"),
    ("New York", "Albany", "12207"),
    ("Arizona", "Tucson", "85701"),
)
_CLINICS = (
    ("PRAIRIE FAMILY HEALTH CENTER", "100 HARNEY STREET", "OMAHA"),
    ("PRAIRIE FAMILY HEALTH WEST", "8200 DODGE STREET", "OMAHA"),
    ("RIVERSIDE COMMUNITY CLINIC", "41 MAIN STREET", "COUNCIL BLUFFS"),
    ("CEDAR HILL MEDICAL GROUP", "12 SUMMIT AVENUE", "TOPEKA"),
)
_MEDICINES = (
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("312961", "Simvastatin 20 MG Oral Tablet"),
    ("310798", "Hydrochlorothiazide 25 MG Oral Tablet"),
    ("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("866412", "24 HR metoprolol succinate 100 MG Extended Release Oral Tablet"),
    ("309362", "Clopidogrel 75 MG Oral Tablet"),
    ("245134", "albuterol 0.83 MG/ML Inhalation Solution"),
    ("197591", "Diazepam 5 MG Oral Tablet"),
)
_PLAN = "Sample Health Plan"
_CLASSES = ("ambulatory", "wellness", "outpatient", "urgentcare")
_CONDITIONS = (
    ("59621000", "Essential hypertension (disorder)"),
    ("44054006", "Diabetes mellitus type 2 (disorder)"),
    ("55822004", "Hyperlipidemia (disorder)"),
)


def write_sample(directory: Path, *, patients: int, seed: int, as_of: date) -> None:
    """Write a practice of `patients` patients as seen on `as_of`, with visits up to 90 days after.

    About three in ten stopped coming more than 180 days before; one in six of these has booked
    again for the next 30 days. Raises SourceDataError when it would overwrite another export, or
    for a day that its patients could not be born 90 years before.
    """
    if not FIRST_YEAR + 100 <= as_of.year <= LAST_YEAR - 1:
        raise SourceDataError(
            f"no sample can be seen on that day; name one in the years {FIRST_YEAR + 100}"
            f" to {LAST_YEAR - 1}"
        )
    directory.mkdir(parents=True, exist_ok=True)
    _require_ours(directory)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(
                (directory / f"{name}.csv").open("w", encoding="utf-8", newline="")
            )
            for name in _HEADERS
        }
        writers = {name: _Writer(files[name], header) for name, header in _HEADERS.items()}
        _write_practice(writers, seed)
        files["payers"].flush()  # what is ours can be told from its first moment
        for number in range(patients):
            _Patient.draw(number, seed, as_of).write(writers)


def _require_ours(directory: Path) -> None:
    """Files that lie there already are an earlier sample's, perhaps a killed one's."""
    found = [path for name in _HEADERS if (path := directory / f"{name}.csv").exists()]
    payers = directory / "payers.csv"
    ours = payers.is_file() and _PLAN in payers.read_text(encoding="utf-8", errors="replace")
    if not ours and any(path.stat().st_size for path in found):
        raise SourceDataError(
            f"{directory} holds an export that is no sample, nothing was written;"
            " name another directory"
        )


class _Writer:
    """Writes rows by column name; what a row does not name stays empty."""

    def __init__(self, file: Any, header: str) -> None:
        self._columns = header.split(",")
        self._csv = csv.writer(file, lineterminator="\n")
        self._csv.writerow(self._columns)

    def row(self, **values: object) -> None:
        self._csv.writerow([values.get(column, "") for column in self._columns])


def _write_practice(writers: dict[str, _Writer], seed: int) -> None:
    for number, (name, address, city) in enumerate(_CLINICS):
        place = {"NAME": name, "ADDRESS": address, "CITY": city, "STATE": "NE", "ZIP": "681020000"}
        clinic = _identifier(seed, f"clinic {number}")
        writers["organizations"].row(Id=clinic, PHONE="4025550100", REVENUE="0.0", **place)
        writers["providers"].row(
            Id=_identifier(seed, f"provider {number}"),
            ORGANIZATION=clinic,
            GENDER="F",
            SPECIALITY="GENERAL PRACTICE",
            **place | {"NAME": f"{_FIRST[number]} {_LAST[number]}"},
        )
    writers["payers"].row(Id=_identifier(seed, "payer"), NAME=_PLAN, OWNERSHIP="PRIVATE")


@dataclass(frozen=True)
class _Patient:
    """One patient: drawn once, written as rows of every file."""

    id: str
    seed: int
    as_of: date
    born: date
    died: date | None
    visits: list[datetime]
    random: Random

    @classmethod
    def draw(cls, number: int, seed: int, as_of: date) -> _Patient:
        random = Random(f"{seed}/{number}")  # noqa: S311 - a sample, not a secret
        # Bent towards the young, as in a family practice. A product: powers differ by platform.
        share = random.random()
        born = as_of - timedelta(days=int(share * (0.6 + 0.4 * share) * 90 * 365))
        died = None
        if random.random() < 0.08 and (as_of - born).days > 50 * 365:
            died = as_of - timedelta(days=int(random.random() * 900))
        visits = list(_visits(random, born, died, as_of))
        return cls(_identifier(seed, f"patient {number}"), seed, as_of, born, died, visits, random)

    def write(self, writers: dict[str, _Writer]) -> None:
        pick = self.random.random
        state, city, zip_code = _PLACES[int(pick() * len(_PLACES))]
        hispanic = pick() < 0.22
        writers["patients"].row(
            Id=self.id,
            BIRTHDATE=self.born,
            DEATHDATE=self.died or "",
            FIRST=_FIRST[int(pick() * len(_FIRST))],
            LAST=_LAST[int(pick() * len(_LAST))],
            ETHNICITY="hispanic" if hispanic else "nonhispanic",
            GENDER="F" if pick() < 0.52 else "M",
            CITY=city,
            STATE=state,
            ZIP=zip_code,
        )
        for number, start in enumerate(self.visits):
            self._write_visit(writers, number, start)
        if self.visits and pick() < 0.55:
            self._write_medicines(writers)

    def _write_visit(self, writers: dict[str, _Writer], number: int, start: datetime) -> None:
        clinic = int(self.random.random() * len(_CLINICS))
        writers["encounters"].row(
            Id=self._encounter(number),
            START=_stamp(start),
            STOP=_stamp(start + timedelta(minutes=20)),
            PATIENT=self.id,
            ORGANIZATION=_identifier(self.seed, f"clinic {clinic}"),
            PROVIDER=_identifier(self.seed, f"provider {clinic}"),
            PAYER=_identifier(self.seed, "payer"),
            ENCOUNTERCLASS=_CLASSES[int(self.random.random() * len(_CLASSES))],
            CODE="185347001",
            DESCRIPTION="Encounter for problem (procedure)",
        )

    def _write_medicines(self, writers: dict[str, _Writer]) -> None:
        start = self.visits[0]
        code, description = _MEDICINES[int(self.random.random() * len(_MEDICINES))]
        ended = self.random.random() < 0.25
        writers["medications"].row(
            START=_stamp(start),
            STOP=_stamp(start + timedelta(days=90)) if ended else "",
            PATIENT=self.id,
            PAYER=_identifier(self.seed, "payer"),
            ENCOUNTER=self._encounter(0),
            CODE=code,
            DESCRIPTION=description,
            DISPENSES="1",
        )
        code, description = _CONDITIONS[int(self.random.random() * len(_CONDITIONS))]
        writers["conditions"].row(
            START=start.date(),
            PATIENT=self.id,
            ENCOUNTER=self._encounter(0),
            CODE=code,
            DESCRIPTION=description,
        )

    def _encounter(self, number: int) -> str:
        return _identifier(self.seed, f"encounter {self.id} {number}")


def _visits(random: Random, born: date, died: date | None, as_of: date) -> Iterator[datetime]:
    """Visits in order of time: regular ones until the patient lapses, perhaps a booking after."""
    lapsed_days = 185 + int(random.random() * 700) if random.random() < 0.32 else None
    end = as_of + timedelta(days=90) if lapsed_days is None else as_of - timedelta(days=lapsed_days)
    day = max(born + timedelta(days=7), end - timedelta(days=365 + int(random.random() * 4 * 365)))
    gap = 25 + random.random() * 110
    last = min(end, died) if died else end
    while day <= last:
        yield _office_hour(random, day)
        day += timedelta(days=5 + int(gap * (0.5 + random.random())))
    if lapsed_days is not None and died is None and random.random() < 0.17:
        yield _office_hour(random, as_of + timedelta(days=1 + int(random.random() * 29)))


def _office_hour(random: Random, day: date) -> datetime:
    minutes = 14 * 60 + int(random.random() * 8 * 12) * 5  # 14:00 to 21:55 UTC: the day in the US
    return datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)


def _stamp(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _identifier(seed: int, what: str) -> str:
    return str(UUID(bytes=hashlib.sha256(f"{seed}/{what}".encode()).digest()[:16]))
