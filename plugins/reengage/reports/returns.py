"""Returns: did a campaign bring people back in a month, and how sure are we. Pure but for reading.

All of it is told from the reports of `outcome_report`, which tell each number once and no small
count. A month is what its last report tells beyond the last one before the month: patients of whom
the horizon's end was told in it. Were that a small count it would be withheld here (PRV-27).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import Connection

from reengage.outcome_report import CampaignReport, read_report, reported_days
from reengage.outcomes.intervals import Effect, effect, wilson
from reengage.reports.cells import is_small
from reengage.reports.months import Group, without

ALL = "all"
HORIZON = 30
"""Days within which a return counts, where nobody asks for another."""
_LOOKS = 3
"""Months that are looked at for the newest answer."""
Word = Literal["more", "fewer", "undecided", "no_holdout", "withheld", "nobody"]


@dataclass(frozen=True)
class Share:
    """How many of an arm came back, with Wilson's 95 % interval."""

    of: int
    returned: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share that came back."""
        return self.returned / self.of


@dataclass(frozen=True)
class Answer:
    """What a stretch of time says. A share that is None is withheld, or of nobody."""

    horizon: int
    write: Share | None
    holdout: Share | None
    effect: Effect | None
    word: Word


@dataclass(frozen=True)
class Month:
    """A calendar month, for which there is a report."""

    first: date
    last_report: date

    @property
    def value(self) -> str:
        """As the address of the page has it."""
        return f"{self.first:%Y-%m}"

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.first:%B %Y}"


@dataclass(frozen=True)
class Told:
    """What the page of a campaign has to tell of its outcomes, as of a month."""

    months: Sequence[Month]
    month: Month
    reports: Sequence[CampaignReport]
    """The newest of the month, a cohort each, the newest cohort first."""
    before: Sequence[CampaignReport]
    """The newest before the month."""
    left_out: Sequence[Group] = ()
    """Groups that the visitor is told nothing of."""

    def of_month(self, horizon: int) -> Answer:
        """Of the patients whose horizon ended in the month."""
        return _answer(self.reports, self.before, horizon)

    def in_all(self, horizon: int) -> Answer:
        """Of everybody in the reports' cohorts whose horizon is over."""
        return _answer(self.reports, (), horizon)

    @property
    def horizons(self) -> list[int]:
        """Those that are reported on."""
        return sorted({line.horizon_days for one in self.reports for line in one.lines})


def months_of(days: Sequence[date], today: date) -> list[Month]:
    """Months in which there was a report, the newest first. Pure."""
    found: dict[date, date] = {}
    for day in days:
        if day <= today:
            first = day.replace(day=1)
            found[first] = max(found.get(first, day), day)
    return [Month(first, found[first]) for first in sorted(found, reverse=True)]


def candidates(months: Sequence[Month], asked: str | None, today: date) -> list[Month]:
    """The month that was asked for; else those that may be shown, the best first. Pure.

    That is a month that is over, the newest first; while none is, the one that goes on.
    """
    if asked is not None:
        return [one for one in months if one.value == asked]
    over = [one for one in months if one.first < today.replace(day=1)]
    return over[:_LOOKS] or list(months[:1])


def read(
    connection: Connection,
    slug: str,
    today: date,
    asked: str | None,
    horizon: int,
    left_out: Sequence[Group] = (),
) -> Told | None:
    """What is told of a campaign in a month; None where there is no report of it.

    Where no month is asked for, the last that tells something new. `left_out`: groups of which
    nothing is told (`months.left_out`).
    """
    months = months_of([day for _, day in reported_days(connection, slug)], today)
    found = None
    for month in candidates(months, asked, today):
        now, before = (
            [without(connection, one, left_out) for one in read_report(connection, slug, day)]
            for day in (month.last_report, month.first - timedelta(days=1))
        )
        told = Told(months, month, now, before, left_out)
        if told.of_month(horizon).word not in ("nobody", "withheld"):
            return told
        found = found or told
    return found


def _answer(
    now: Sequence[CampaignReport], before: Sequence[CampaignReport], horizon: int
) -> Answer:
    counts = {arm: _difference(now, before, arm, horizon) for arm in ("write", "holdout")}
    write, holdout = (_share(counts[arm]) for arm in ("write", "holdout"))
    found = None
    if write and holdout:
        found = effect(write.returned, write.of, holdout.returned, holdout.of)
    if found:
        return Answer(horizon, write, holdout, found, found.verdict)
    if write is None:
        word: Word = "withheld" if counts["write"] is None else "nobody"
    else:
        # Both arms are told of the same months, so an arm that never is has nobody in it.
        compared = any(_counts(one, "holdout", horizon) not in (None, (0, 0)) for one in now)
        word = "withheld" if compared else "no_holdout"
    return Answer(horizon, write, holdout, None, word)


Counts = tuple[int, int]
"""Whose horizon is over, and how many of them returned."""


def _difference(
    now: Sequence[CampaignReport], before: Sequence[CampaignReport], arm: str, horizon: int
) -> Counts | None:
    """Counts of an arm in `now` beyond `before`; None where a count is withheld or would be."""
    earlier = {one.cohort: one for one in before}
    over, returned, untold = 0, 0, False
    for report in now:
        found = _counts(report, arm, horizon)
        was = _counts(earlier[report.cohort], arm, horizon) if report.cohort in earlier else None
        if found is None and was is None:
            untold = True
            continue
        if found is None:
            return None
        was = was or (0, 0)  # nothing was told of it then
        over += found[0] - was[0]
        returned += found[1] - was[1]
    rest = over - returned
    if min(over, returned, rest) < 0 or any(map(is_small, (over, returned, rest))):
        return None
    return None if untold and not over else (over, returned)


def _counts(report: CampaignReport, arm: str, horizon: int) -> Counts | None:
    for line in report.lines:
        if (line.slice, line.arm, line.horizon_days) == (ALL, arm, horizon):
            if line.mature is None or line.returned is None:
                return None
            return line.mature, line.returned
    return 0, 0


def _share(counts: Counts | None) -> Share | None:
    if counts is None or not counts[0]:
        return None
    low, high = wilson(counts[1], counts[0])
    return Share(counts[0], counts[1], float(low), float(high))
