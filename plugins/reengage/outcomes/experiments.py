"""Experiments: two variants of a campaign's template, read with every report, ended by a person.

The reading holds however often it is looked at (sequential.py). It is told on the days on which the
variants' counts are told, and stands in between; a reading at fewer looks holds all the same. What
it says stops nothing: a person confirms (`experiment stop`), on record, and the kept variant is
what everybody gets from the next run on, whatever the campaign's file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, text

from reengage.campaigns import Campaign
from reengage.errors import ConfigurationError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.outcomes.counting import Question, blocks_of
from reengage.outcomes.sequential import NEEDED, NOBODY, Block, always_valid, evidence
from reengage.outcomes.suppression import is_clear
from reengage.outcomes.telling import Line

Verdict = Literal["a", "b", "open", "withheld"]
_MOST = 1e9
"""Evidence beyond which more of it says nothing more."""


@dataclass(frozen=True)
class Reading:
    """A line of report.experiment. None = withheld; `kept` None = it goes on."""

    horizon_days: int
    variant_a: str
    variant_b: str
    counted_on: date | None = None
    mature_a: int | None = None
    returned_a: int | None = None
    mature_b: int | None = None
    returned_b: int | None = None
    difference: float | None = None
    """Share who came back, a minus b."""
    low: float | None = None
    high: float | None = None
    evidence: float | None = None
    needed: float = NEEDED
    verdict: Verdict = "withheld"
    kept: str | None = None


_COLUMNS = ", ".join(Reading.__dataclass_fields__)


def publish(
    connection: Connection, home: Path, campaign: Campaign, asked: Question, lines: Sequence[Line]
) -> Reading | None:
    """Write the day's reading; None where the campaign compares nothing."""
    if campaign.variants is None:
        return None
    experiment, horizon = campaign.variants.experiment, campaign.variants.horizon_days
    first, second = sorted(campaign.variants.weights)
    blank = Reading(horizon, first, second)
    old = _latest(connection, campaign.slug, experiment, before=asked.day)
    reading = old if old and _comparable(old, blank) else blank
    if _counted_today(lines, experiment, (first, second), asked.day):
        blocks = blocks_of(connection, home, asked, experiment, (first, second), horizon)
        found = read(blank, blocks, asked.day)
        if _may_follow(found, reading):
            reading = found
    kept = _kept(connection, campaign.slug, experiment, asked.day)
    _write(connection, asked, experiment, Reading(**{**asdict(reading), "kept": kept}))
    return reading


def read(blank: Reading, blocks: Sequence[Block], day: date) -> Reading:
    """The reading of these blocks; withheld where a count of it is small (PRV-27)."""
    total = sum(blocks, NOBODY)
    counts = (
        total.mature_a, total.returned_a, total.mature_a - total.returned_a,
        total.mature_b, total.returned_b, total.mature_b - total.returned_b,
    )  # fmt: skip
    if not all(map(is_clear, counts)) or not total.mature_a or not total.mature_b:
        return blank
    difference, low, high = always_valid(total)
    found = min(evidence(blocks), _MOST)
    verdict: Verdict = "open"
    if found >= NEEDED:
        verdict = "a" if difference > 0 else "b"
    return Reading(
        blank.horizon_days, blank.variant_a, blank.variant_b, day, **asdict(total),
        difference=difference, low=low, high=high, evidence=found, verdict=verdict,
    )  # fmt: skip


def stop(
    connection: Connection,
    keyring: Keyring,
    campaign: Campaign,
    *,
    keep: str,
    by: str,
    because: str,
) -> None:
    """A person ends the campaign's experiment: everybody gets `keep` from the next run on.

    In the caller's transaction, with its record in the ledger. Raises ConfigurationError where
    there is nothing to end, or no such variant.
    """
    variants = campaign.variants
    if variants is None:
        raise ConfigurationError(
            f"campaign {campaign.slug} compares nothing; its file has no `variants`"
        )
    if keep not in variants.weights:
        raise ConfigurationError(
            f"experiment {variants.experiment} has no variant {keep!r}; it has"
            f" {', '.join(sorted(variants.weights))}"
        )
    known = _kept(connection, campaign.slug, variants.experiment, date.max)
    if known is not None:
        raise ConfigurationError(
            f"experiment {variants.experiment} was ended before, {known!r} was kept; to compare"
            f" again give it another name in campaigns/{campaign.slug}.yaml"
        )
    reading = _latest(connection, campaign.slug, variants.experiment, before=date.max)
    connection.execute(
        text(
            "INSERT INTO experiment_stop"
            " (campaign, experiment, kept, stopped_at, stopped_by, because)"
            " VALUES (:campaign, :experiment, :kept, :at, :by, :because)"
        ),
        {
            "campaign": campaign.slug,
            "experiment": variants.experiment,
            "kept": keep,
            "at": datetime.now(UTC),
            "by": by,
            "because": because,
        },
    )
    detail = {"kept": keep, "because": because, "verdict": reading.verdict if reading else "none"}
    of = f"experiment/{campaign.slug}/{variants.experiment}"
    append(connection, keyring, [access(actor=by, action="approved", of=of, detail=detail)])


def _counted_today(
    lines: Sequence[Line], experiment: str, variants: tuple[str, str], day: date
) -> bool:
    """Whether the counts of both variants are told, and new."""
    told = {one.level for one in lines if one.slice == "variant" and one.counted_on == day}
    return {f"{experiment}/{variant}" for variant in variants} <= told


def _comparable(old: Reading, new: Reading) -> bool:
    names = ("horizon_days", "variant_a", "variant_b")
    return all(getattr(old, name) == getattr(new, name) for name in names)


def _may_follow(new: Reading, old: Reading) -> bool:
    if new.counted_on is None:
        return False
    if old.counted_on is None:
        return True
    names = ("mature_a", "returned_a", "mature_b", "returned_b")
    grown = {name: (getattr(new, name) or 0) - (getattr(old, name) or 0) for name in names}
    left = [grown["mature_a"] - grown["returned_a"], grown["mature_b"] - grown["returned_b"]]
    return all(is_clear(abs(count)) for count in [*grown.values(), *left])


def _latest(
    connection: Connection, campaign: str, experiment: str, *, before: date
) -> Reading | None:
    found = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM report.experiment"  # noqa: S608 - our own column names
            " WHERE campaign = :campaign AND experiment = :experiment AND as_of < :before"
            " ORDER BY as_of DESC LIMIT 1"
        ),
        {"campaign": campaign, "experiment": experiment, "before": before},
    ).mappings()
    row = found.one_or_none()
    return Reading(**row) if row is not None else None


def _kept(connection: Connection, campaign: str, experiment: str, day: date) -> str | None:
    """The variant that a person kept by the end of the day."""
    kept: str | None = connection.execute(
        text(
            "SELECT kept FROM experiment_stop WHERE campaign = :campaign"
            " AND experiment = :experiment AND CAST(stopped_at AS date) <= :day"
        ),
        {"campaign": campaign, "experiment": experiment, "day": day},
    ).scalar_one_or_none()
    return kept


def _write(connection: Connection, asked: Question, experiment: str, reading: Reading) -> None:
    key = {"campaign": asked.campaign, "experiment": experiment, "as_of": asked.day}
    connection.execute(
        text(
            "DELETE FROM report.experiment WHERE campaign = :campaign"
            " AND experiment = :experiment AND as_of = :as_of"
        ),
        key,
    )
    row = {**key, **asdict(reading)}

    connection.execute(
        text(
            f"INSERT INTO report.experiment ({', '.join(row)})"  # noqa: S608
            f" VALUES ({', '.join(':' + name for name in row)})"
        ),
        row,
    )
