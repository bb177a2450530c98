"""Returns as a page shows them: the answer in words, tables and charts of the outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from markupsafe import Markup

from reengage.outcome_report import CampaignReport, EffectLine, Experiment
from reengage.reports import charts
from reengage.reports.cells import HIDDEN
from reengage.reports.months import Group
from reengage.reports.returns import ALL, Answer, Share, Told, Word
from reengage.reports.tables import Badge, Table, Tone, table

ARMS = {"write": "Written to", "holdout": "Held out"}
_ORDER = tuple(ARMS)
_SLICES = {
    "language": "language", "age_band": "age", "service_line": "kind of care",
    "variant": "variant of the letter",
}  # fmt: skip
_VERDICTS: Mapping[str, Badge] = {
    "more": Badge("more came back", "good"),
    "fewer": Badge("fewer came back", "bad"),
    "undecided": Badge("may be chance", "quiet"),
}
_HEADINGS: Mapping[Word, tuple[str, Tone]] = {
    "more": ("Yes, more patients came back", "good"),
    "fewer": ("No, fewer patients came back", "bad"),
    "undecided": ("It cannot be told yet: chance alone may explain it", "warn"),
    "no_holdout": ("It cannot be told: nobody was held out to compare with", "warn"),
    "withheld": ("It cannot be told yet", "warn"),
    "nobody": ("Nothing new was told in this month", "quiet"),
}


@dataclass(frozen=True)
class Spoken:
    """An answer in words."""

    heading: str
    tone: Tone
    sentences: Sequence[str]


def spoken(answer: Answer, left_out: Sequence[Group] = ()) -> Spoken:
    """The answer: what came out, how sure it is, and which groups of months it leaves out."""
    heading, tone = _HEADINGS[answer.word]
    days = answer.horizon
    said = []
    if answer.write:
        one = answer.write
        said.append(
            f"Of {one.of:,} patients written to, {one.returned:,} came back within {days} days:"
            f" {_rate(one)}."
        )
    if answer.holdout:
        one = answer.holdout
        said.append(f"Of {one.of:,} held out, {one.returned:,} came back: {_rate(one)}.")
    said += _sure(answer)
    if left_out:
        said.append(
            f"You are told nothing of {', '.join(map(_named, left_out))}: whoever subtracts the"
            " days that you are shown would find a count of 1 to 10 patients, or could later."
        )
    return Spoken(heading, tone, said)


def _named(group: Group) -> str:
    first, last = group[0], group[1] - timedelta(days=1)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%B %Y}"
    return f"{first:%B} to {last:%B %Y}"


def _rate(one: Share) -> str:
    return f"{one.rate:.1%} (95 % interval {one.low:.1%} to {one.high:.1%})"


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−")


def _sure(answer: Answer) -> list[str]:
    found = answer.effect
    if answer.word == "no_holdout":
        return [
            "Who would have come back anyway is known only where a share of the patients is held"
            " out: set holdout_share in the campaign's file."
        ]
    if answer.word == "withheld":
        return [
            "A number is told once the time of everybody who began in a month is over, and only"
            " where no count of 1 to 10 patients comes with it; else it waits for the next month."
        ]
    if found is None:
        return []
    span = f"{points(found.low)} to {points(found.high)}"
    said = [
        f"The difference is {points(found.difference)} percentage points; the 95 % interval goes"
        f" from {span}."
    ]
    if found.needed and found.needed[0] > 0:
        one, low, high = found.needed
        said.append(
            f"One more patient came back for every {one:,.0f} written to ({low:,.0f} to"
            f" {high:,.0f})."
        )
    if found.verdict == "undecided":
        said.append("The interval holds zero, so writing may have made no difference at all.")
    else:
        said.append(
            "The interval leaves zero out: if writing did nothing, fewer than 1 month in 20 would"
            " look like this."
        )
    return said


def answer_chart(answer: Answer) -> Markup | None:
    """The arms' shares with their intervals."""
    shares = {ARMS["write"]: answer.write, ARMS["holdout"]: answer.holdout}
    found = [
        charts.Span(label, one.low, one.rate, one.high, f"{one.rate:.1%}")
        for label, one in shares.items()
        if one
    ]
    return charts.spans(found) if found else None


def outcome_table(report: CampaignReport, *, slice_: str = ALL) -> Table:
    """Who came back, by arm and horizon: the lines of `report --campaign`."""
    nobody_held_out = not any(one.enrolled for one in report.lines if one.arm == "holdout")
    rows: list[list[Any]] = [
        [
            ARMS[one.arm] if slice_ == ALL else f"{one.level}, {ARMS[one.arm].lower()}",
            one.horizon_days, *(_count(n) for n in (one.enrolled, one.mature, one.returned)),
            *(_rated(one.mature, n) for n in (one.rate, one.rate_low, one.rate_high)),
            *(_count(n) for n in (one.written, one.booked, one.kept)),
        ]
        for one in sorted(report.lines, key=lambda line: _ORDER.index(line.arm))
        if one.slice == slice_ and not (one.arm == "holdout" and nobody_held_out)
    ]  # fmt: skip
    by = "" if slice_ == ALL else f" by {_SLICES.get(slice_, slice_)}"
    return table(
        f"outcome-{report.cohort}-{slice_}",
        f"Who came back{by}: follow-ups that began in {report.cohort}",
        [
            ("group", "Patients", "text"), ("days", "Within, days", "count"),
            ("followed", "Followed", "count"), ("over", "Time over", "count"),
            ("returned", "Came back", "count"), ("rate", "Share", "share"),
            ("rate_low", "95 % from", "share"), ("rate_high", "to", "share"),
            ("written", "Letter left", "count"), ("booked", "Booked", "count"),
            ("kept", "Kept", "count"),
        ],
        rows,
        note=f"As of {report.as_of}; the warehouse told everything up to"
        f" {report.followed_until:%Y-%m-%d %H:%M} {report.followed_until.tzname() or 'UTC'}."
        " Share = came back, of those whose time is over.",
    )  # fmt: skip


def _count(n: int | None) -> Any:
    return HIDDEN if n is None else n


def _rated(mature: int | None, value: float | None) -> Any:
    return None if mature == 0 else HIDDEN if value is None else value


def effect_table(report: CampaignReport) -> Table:
    """What writing did, by horizon, and by slice where that can be told."""
    rows = [
        [_of(one), one.horizon_days, _points(one.difference), _points(one.low), _points(one.high),
         _needed(one), _VERDICTS.get(one.verdict, HIDDEN)]
        for one in report.effects
        if one.slice == ALL or one.verdict != "withheld"
    ]  # fmt: skip
    return table(
        f"effect-{report.cohort}",
        f"What writing did: follow-ups that began in {report.cohort}",
        [
            ("group", "Patients", "text"), ("days", "Within, days", "count"),
            ("difference", "Difference, points", "number"), ("low", "95 % from", "number"),
            ("high", "to", "number"), ("needed", "To write to for one more", "count"),
            ("verdict", "So", "badge"),
        ],
        rows,
        note="Points of per cent: share of those written to less share of those held out, with"
        " Newcombe's interval. It is for one look, when the year's follow-ups are over.",
    )  # fmt: skip


def _of(one: EffectLine) -> str:
    return "All" if one.slice == ALL else f"{_SLICES.get(one.slice, one.slice)}: {one.level}"


def _points(value: float | None) -> Any:
    return HIDDEN if value is None else points(value)


def _needed(one: EffectLine) -> Any:
    if one.verdict == "withheld":
        return HIDDEN
    return None if one.needed is None else round(one.needed)


def curve_table(report: CampaignReport) -> Table:
    """Share that came back within so many days, by arm."""
    return table(
        f"curve-{report.cohort}",
        f"Time to return: follow-ups that began in {report.cohort}",
        [
            ("group", "Patients", "text"), ("days", "Within, days", "count"),
            ("returned", "Came back", "share"), ("low", "95 % from", "share"),
            ("high", "to", "share"),
        ],
        [[ARMS[p.arm], p.day, p.returned, p.low, p.high] for p in report.curve],
        note="Of everybody followed, also of those whose time is not over (Kaplan-Meier).",
    )  # fmt: skip


def curve_chart(report: CampaignReport) -> Markup | None:
    """The same as steps."""
    if len({p.day for p in report.curve}) < 2:
        return None
    return charts.steps(
        [{"day": p.day, "name": ARMS[p.arm], "value": p.returned, "low": p.low, "high": p.high}
         for p in report.curve],
        [ARMS[arm] for arm in ARMS if any(p.arm == arm for p in report.curve)],
    )  # fmt: skip


def slice_tables(told: Told) -> list[Table]:
    """Who came back by slice, of the newest cohort; slices that tell nothing are left out."""
    newest = told.reports[0]
    slices = sorted({line.slice for line in newest.lines if line.counted_on} - {ALL})
    return [outcome_table(newest, slice_=one) for one in slices]


def variants_table(experiment: Experiment) -> Table:
    """The comparison of a campaign's variants, as of its last reading."""
    found = experiment.reading
    rows = [
        [name, _count(over), _count(returned), _rate_of(over, returned)]
        for name, over, returned in (
            (found.variant_a, found.mature_a, found.returned_a),
            (found.variant_b, found.mature_b, found.returned_b),
        )
    ]
    return table(
        "variants",
        f"Variants: experiment {experiment.name}, back within {found.horizon_days} days",
        [
            ("variant", "Variant", "text"), ("over", "Time over", "count"),
            ("returned", "Came back", "count"), ("rate", "Share", "share"),
        ],
        rows,
    )  # fmt: skip


def _rate_of(over: int | None, returned: int | None) -> Any:
    if over is None or returned is None:
        return HIDDEN
    return returned / over if over else None


def variants_verdict(experiment: Experiment) -> Spoken:
    """What the comparison says so far."""
    found = experiment.reading
    if found.kept:
        return Spoken(f"Ended: everybody gets {found.kept}", "quiet", [])
    names = {"a": found.variant_a, "b": found.variant_b}
    if found.verdict in names:
        name = names[found.verdict]
        heading, tone = f"{name} brings more patients back", "good"
        said = ["A person ends the comparison: python -m reengage experiment stop."]
    elif found.verdict == "withheld":
        heading, tone, said = "It cannot be told: too few patients", "warn", []
    else:
        heading, tone = "No difference beyond chance so far", "quiet"
        said = ["It may be looked at as often as you like."]
    if found.difference is not None and found.low is not None and found.high is not None:
        said.insert(
            0,
            f"{found.variant_a} less {found.variant_b}: {points(found.difference)} points"
            f" ({points(found.low)} to {points(found.high)}), which holds at every look.",
        )
    if found.evidence is not None:
        said.append(f"Evidence {found.evidence:,.1f}; from {found.needed:g} on it is believed.")
    return Spoken(heading, tone, said)  # type: ignore[arg-type]
