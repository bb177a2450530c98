"""Asking: what the statements about the day's candidates are asked with.

One place for the bind parameters of sql/extract/, so that extraction, the last look and `why` ask
the same question of the warehouse, each as of its own instant. The gate works the days' limits out
by itself, in SQL, from `as_of`, `zone` and `inactive_days`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from reengage.campaigns import Campaign
from reengage.jurisdictions import load_jurisdictions
from reengage.pipeline.run import Run

BOOKING_DAYS = 30
"""Appointments within so many days after the campaign's day count as booked."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""What the warehouse dates so far ahead of our clock counts as having happened, at a last look."""


def asking(run: Run) -> dict[str, Any]:
    """Parameters as of the end of the campaign's day.

    A day counts whole: 180 days up to and including the campaign date begin 179 midnights earlier.
    """
    return _parameters(run, run.day, _midnight(run, run.day, 1))


def asking_now(run: Run) -> dict[str, Any]:
    """Parameters as of this instant, for the last look before a claim."""
    return _parameters(run, run.today(), run.settings.now() + CLOCKS_DIFFER)


def consent_purposes(campaign: Campaign) -> list[str]:
    """Which authorizations must be on file, the one to cite first (PRV-08).

    A reminder of care needs none for marketing (PRV-13); the opt-in to e-mail is our own rule.
    """
    return ["marketing", "email"] if campaign.purpose == "marketing" else ["email"]


def _parameters(run: Run, day: date, ends: datetime) -> dict[str, Any]:
    campaign = run.campaign
    rules = load_jurisdictions(run.settings.home / "jurisdictions.yaml")
    return {
        "as_of": day,
        "ends": ends,
        "inactive_since": _midnight(run, day, 1 - campaign.inactive_days),
        "booking_ends": _midnight(run, day, 1 + BOOKING_DAYS),
        "zone": campaign.time_zone,
        "inactive_days": campaign.inactive_days,
        "slug": campaign.slug,
        "campaigns": [p.stem for p in (run.settings.home / "campaigns").glob("*.yaml")],
        "consent_purposes": consent_purposes(campaign),
        "paid": campaign.paid,
        "majority_years": run.practice.age_of_majority,
        "sensitive_service_lines": list(run.practice.sensitive_service_lines),
        "sensitive_services": _pattern(run.practice.sensitive_service_lines),
        "categories_allowed": rules.categories("allow", day),
        "categories_denied": rules.categories("deny", day),
    }


def _pattern(lines: Sequence[str]) -> str:
    """A regular expression of PostgreSQL that finds any of these, each as whole words."""
    found = "|".join(line.replace(" ", r"\W+") for line in lines)
    return rf"\m({found})\M"


def _midnight(run: Run, day: date, days: int) -> datetime:
    """Midnight in the campaign's zone, `days` after the day begins."""
    zone = ZoneInfo(run.campaign.time_zone)
    return datetime.combine(day + timedelta(days=days), time(), zone)
