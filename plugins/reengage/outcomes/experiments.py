"""Experiments: two variants of a campaign's template, read with every report, ended by a person.

The reading holds however often it is looked at (sequential.py). It is made of the numbers that the
report tells of the variants and of nothing else, a block for each time that something is told; a
reading at fewer looks holds all the same. What it says stops nothing: a person confirms
(`experiment stop`), on record, and the kept variant is what everybody gets from the next run on,
whatever the campaign's file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from math import floor, log10
from typing import Literal

from sqlalchemy import Connection, text

from reengage.campaigns import Campaign
from reengage.errors import ConfigurationError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.outcomes.sequential import NEEDED, NOBODY, Block, always_valid, evidence
from reengage.outcomes.telling import Told

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
    connection: Connection, campaign: Campaign, day: date, told: Sequence[Told]
) -> Reading | None:
    """Write the day's reading of what was told by then; None where nothing is compared."""
    if campaign.variants is None:
        return None
    experiment, horizon = campaign.variants.experiment, campaign.variants.horizon_days
    first, second = sorted(campaign.variants.weights)
    blank = Reading(horizon, first, second)
    reading = reading_of(blank, told, experiment)
    kept = _kept(connection, campaign.slug, experiment, day)
    reading = replace(reading, kept=kept)
    _write(connection, campaign.slug, day, experiment, reading)
    return reading


def reading_of(blank: Reading, told: Sequence[Told], experiment: str) -> Reading:
    """The reading of what was told, a block for each time; withheld where nothing was."""
    variants = (blank.variant_a, blank.variant_b)
    groups = groups_of(told, experiment, variants, blank.horizon_days)
    if not groups:
        return blank
    newest = max(one.told_on for pair in groups for one in pair)
    blocks = [Block(a.patients, a.returned, b.patients, b.returned) for a, b in groups]
    return read(blank, blocks, newest)


def groups_of(
    told: Sequence[Told], experiment: str, variants: tuple[str, str], horizon: int
) -> list[tuple[Told, Told]]:
    """What was told of both variants of the same patients' months, in the order of time."""
    found: dict[tuple[date, date], dict[str, Told]] = {}
    for one in told:
        if (one.slice, one.horizon_days) == ("variant", horizon):
            found.setdefault((one.began, one.ended), {})[one.level] = one
    a, b = (f"{experiment}/{variant}" for variant in variants)
    return [
        (levels[a], levels[b]) for _, levels in sorted(found.items()) if a in levels and b in levels
    ]


def read(blank: Reading, blocks: Sequence[Block], day: date) -> Reading:
    """The reading of these blocks, whose counts are told; withheld where a variant has nobody."""
    total = sum(blocks, NOBODY)
    if not total.mature_a or not total.mature_b:
        return blank
    difference, low, high = always_valid(total)
    found = floored(min(evidence(blocks), _MOST))
    verdict: Verdict = "open"
    if found >= NEEDED:
        verdict = "a" if difference > 0 else "b"
    return replace(
        blank, counted_on=day, **asdict(total),
        difference=difference, low=low, high=high, evidence=found, verdict=verdict,
    )  # fmt: skip


def floored(found: float) -> float:
    """Two significant digits, downwards: more of them say nothing more."""
    if found <= 0:
        return 0.0
    step: float = 10.0 ** (floor(log10(found)) - 1)
    return float(f"{floor(found / step + 1e-9) * step:.2g}")


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


def _write(
    connection: Connection, campaign: str, day: date, experiment: str, reading: Reading
) -> None:
    key = {"campaign": campaign, "experiment": experiment, "as_of": day}
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
