"""Measures: numbers about the practice's work, under names that can hold nothing of a patient.

A name is `reengage.` and at most three words that the code or a campaign's file gives: campaign
slug, task, state, vendor. A value is a number. Whatever else is refused when a measure is made, so
that no metric can quote a row (SEC-10). docs/metrics.md tells each; `metrics` hands them to
Airflow's channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, text

from reengage.sql import load_sql
from reengage.vendors import Vendor
from reengage.vendors.standing import days_left

PREFIX = "reengage"
STATES = ("sent", "refused", "deferred", "unknown", "withheld")
REHEARSED = "rehearsed"
AGES: Mapping[str, range] = {
    "under_1_day": range(1), "1_to_3_days": range(1, 4), "over_3_days": range(4, 10**6),
}  # fmt: skip
"""Of `unknown` letters: for how many whole days."""
_WORD = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Measure:
    """One number."""

    name: tuple[str, ...]
    """Words after the prefix."""
    value: float
    kind: Literal["gauge", "timing", "counter"] = "gauge"
    """A timing's value is in milliseconds, a counter's what is added to it."""

    def __post_init__(self) -> None:
        """Nothing else leaves by this way."""
        if not 1 <= len(self.name) <= 3 or not all(_WORD.fullmatch(one) for one in self.name):
            raise ValueError("a metric's name is up to three plain words")
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise ValueError("a metric's value is a number")

    @property
    def dotted(self) -> str:
        """As StatsD has it."""
        return ".".join((PREFIX, *self.name))


def of_step(
    campaign: str, task: str, seconds: float, result: Any, *, failed: bool, live: bool = True
) -> list[Measure]:
    """What a task's try says by itself: its time, and what it counted.

    Failures are counted, not shown as they stand: a chunk that went well must not hide another's.
    """
    found = [
        Measure(("step", campaign, task), round(seconds * 1000), "timing"),
        Measure(("step_failures", campaign, task), int(failed), "counter"),
    ]
    if not failed and isinstance(result, Mapping):
        found += _counted(campaign, task, result, live=live)
    return found


def of_practice(store: Engine, home: Path, vendors: Iterable[Vendor], on: date) -> list[Measure]:
    """How the practice stands: letters in doubt by age, days until an agreement ends."""
    with store.connect() as connection:
        rows = connection.execute(text(load_sql(home, "metrics/unknown.sql"))).all()
    found = [
        Measure(("unknown", age), sum(row.letters for row in rows if row.days in days))
        for age, days in AGES.items()
    ]
    return found + [
        Measure(("agreement_days", one.name.lower().replace("-", "_")), days_left(one.baa, on))
        for one in vendors
        if one.baa is not None and one.own_relay is None
    ]


def _counted(campaign: str, task: str, result: Mapping[str, Any], *, live: bool) -> list[Measure]:
    if task == "settle":  # a rehearsal leaves alone what the last live run said
        states = STATES if live else (REHEARSED,)
        return [Measure(("letters", campaign, one), int(result.get(one, 0))) for one in states]
    if task == "verify" and "entries" in result:
        verified = max(int(result["entries"]) - 1, 0)
        return [
            Measure(("ledger", "entries"), int(result["entries"])),
            Measure(("ledger", "last_verified_index"), verified),
        ]
    if task == "checkpoint" and "size" in result:
        return [Measure(("ledger", "signed_entries"), int(result["size"]))]
    if task == "sweep":
        return [Measure(("retention", name), int(count)) for name, count in result.items()]
    return []
