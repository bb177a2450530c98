"""Follow-ups for tests: begun by the campaigns' own rooms, or put into the store as they would be.

many = Many.put(store_url, {"write": 900, "holdout": 300})   # a campaign's year, drawn by a seed
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from daily import Practice
from reengage.campaigns import Campaign, load_campaign
from reengage.keys import open_keyring
from reengage.outcomes.observe import Observed, observe
from reengage.outcomes.publish import Published, publish
from reengage.pipeline.run import Run
from reengage.settings import HOME, Settings
from sqlalchemy import Engine, create_engine, text

EDUCATION = "health_education"
_VARIANTS = "variants: {experiment: try, weights: {plain: 1, warm: 1}, horizon_days: 30}\n"
REPORT = ("told", "published", "outcome", "effect", "return_curve", "experiment")


def enrolled(practice: Practice, now: datetime, campaign: str = EDUCATION) -> Run:
    """A run up to its plan, which draws the arms and begins the follow-ups."""
    there = practice.at(now)
    run = there.open(campaign)
    there.planned(run)
    return run


def observed(practice: Practice, day: date, campaign: str = EDUCATION) -> Observed | None:
    settings = practice.settings
    return observe(settings, open_keyring(settings.keyring), _loaded(settings.home, campaign), day)


@lru_cache(maxsize=8)
def _loaded(home: Path, campaign: str) -> Campaign:
    return load_campaign(home, campaign)


def published(practice: Practice, day: date, campaign: str = EDUCATION) -> Published:
    return publish(practice.settings, load_campaign(practice.settings.home, campaign), day)


def known(practice: Practice, day: date) -> dict[str, dict[str, Any]]:
    """What was known of each follow-up on a day, by pseudonym; nothing of whom nothing was."""
    rows = practice.rows(
        "SELECT DISTINCT ON (follow_up_id) patient, returned_at, booked_at, appointment_at, kept,"
        " died_on FROM follow_up JOIN outcome USING (follow_up_id) WHERE known_on <= :day"
        " ORDER BY follow_up_id, known_on DESC",
        day=day,
    )
    return {str(row.pop("patient")): row for row in rows}


def two_variants(home: Path, variants: str = _VARIANTS) -> None:
    """The campaign's template twice; the warm one says something else."""
    folder = home / "templates" / EDUCATION
    for name in ("plain", "warm"):
        for language in ("en", "es"):
            shutil.copytree(folder / language, folder / name / language)
    for language in ("en", "es"):
        shutil.rmtree(folder / language)
        said = folder / "warm" / language / "body.txt"
        said.write_text("We miss you.\n" + said.read_text("utf-8"), "utf-8")
        page = folder / "warm" / language / "body.mjml"
        marked = page.read_text("utf-8").replace("{{ given_name }}", "{{ given_name }}, friend", 1)
        page.write_text(marked, "utf-8")
    with (home / "campaigns" / f"{EDUCATION}.yaml").open("a", encoding="utf-8") as file:
        file.write(variants)


@dataclass(frozen=True)
class Many:
    """A campaign's follow-ups in a store, and what became known of them day by day."""

    settings: Settings
    engine: Engine
    begun: date
    days: int

    @classmethod
    def put(
        cls,
        store_url: str,
        sizes: dict[str, int],
        *,
        seed: int = 1,
        begun: date = date(2026, 1, 1),
        days: int = 59,
        rates: dict[str, float] | None = None,
        variants: dict[str, float] | None = None,
    ) -> Many:
        """Follow-ups that begin evenly over some days; `rates` is the share that ever comes back.

        `variants` gives both variants of an experiment `try`, with the rate of each.
        """
        engine = create_engine(store_url)
        settings = Settings(HOME, "", store_url, HOME, {})
        made = cls(settings, engine, begun, days)
        rng = np.random.default_rng(seed)
        rows = [
            made._row(rng, arm, number, rates or {"write": 0.5, "holdout": 0.35}, variants)
            for arm, size in sizes.items()
            for number in range(size)
        ]
        with engine.begin() as connection:
            run_id = _run(connection)
            for row in rows:
                row["run_id"] = run_id
            connection.execute(text(_FOLLOW_UP), rows)
            connection.execute(text(_OUTCOME), [row for row in rows if row["returned_at"]])
        return made

    def _row(
        self,
        rng: np.random.Generator,
        arm: str,
        number: int,
        rates: dict[str, float],
        variants: dict[str, float] | None,
    ) -> dict[str, Any]:
        begins = datetime.combine(self.begun, datetime.min.time(), UTC) + timedelta(
            seconds=int(rng.integers(0, self.days * 86400))
        )
        variant = None
        rate = rates[arm]
        if variants and arm == "write":
            variant = sorted(variants)[int(rng.integers(0, 2))]
            rate = variants[variant]
        back = rng.random() < rate
        returned = (
            begins + timedelta(seconds=int(rng.exponential(40 * 86400)) + 1) if back else None
        )
        return {
            "patient": f"{arm}{number}",
            "day": begins.date(),
            "arm": arm,
            "experiment": "try" if variant else None,
            "variant": variant,
            "begins_at": begins,
            "language": "es" if rng.random() < 0.2 else "en",
            "age_band": str(rng.choice(["18-39", "40-64", "65-79"])),
            "service_line": str(rng.choice(["ambulatory", "wellness"])),
            "returned_at": returned,
            "booked_at": begins + (returned - begins) / 2 if returned else None,
            "known_on": returned.date() if returned else None,
        }

    def observe(self, day: date) -> None:
        """As if the warehouse had been asked about the day."""
        self.execute(
            "INSERT INTO outcome_day VALUES ('health_education', :day, :until, 0, 0)"
            " ON CONFLICT DO NOTHING",
            day=day,
            until=datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC),
        )

    def publish(self, day: date, campaign: Any = None) -> Published:
        self.observe(day)
        return publish(self.settings, campaign or load_campaign(HOME, EDUCATION), day)

    def report(self) -> dict[str, list[str]]:
        """Every row of the schema `report`."""
        with self.engine.connect() as connection:
            return {
                name: sorted(
                    connection.execute(text(f"SELECT t::text FROM report.{name} t")).scalars()
                )
                for name in REPORT
            }

    def execute(self, statement: str, **parameters: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)


_FOLLOW_UP = (
    "INSERT INTO follow_up (campaign, patient, period, run_id, part, campaign_date, arm,"
    " experiment, variant, begins_at, counts, language, age_band, service_line, described_on,"
    " written_on)"
    " VALUES ('health_education', :patient, '', :run_id, 0, :day, :arm, :experiment, :variant,"
    " :begins_at, true, :language, :age_band, :service_line, :day,"
    " CASE WHEN :arm = 'write' THEN CAST(:day AS date) END)"
)
_OUTCOME = (
    "INSERT INTO outcome (follow_up_id, known_on, returned_at, booked_at, appointment_at, kept)"
    " SELECT follow_up_id, :known_on, :returned_at, :booked_at, :returned_at, true FROM follow_up"
    " WHERE campaign = 'health_education' AND patient = :patient"
)


def _run(connection: Any) -> UUID:
    run_id = uuid4()
    connection.execute(
        text(
            "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256,"
            " vendor, baa_id) VALUES (:run_id, 'health_education', '2026-01-01', 'live', 'r', '',"
            " 'v', 'b')"
        ),
        {"run_id": run_id},
    )
    return run_id
