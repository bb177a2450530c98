"""Whoever has every page that an Analyst may open, and a solver, finds no small count (PRV-27).

The tables are those of the pages: of the days, and of the month that is told of them, in which
nobody is followed a second time yet. What they show becomes equations, what they hide a number of
1 to 10, or a sum of at least 1, and the solver says between which numbers each count of 1 to 10 may
lie. The reader also knows which counts stayed as they were since the day, or the run, before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reengage.outcomes.cells import HORIZONS, Cell
from reengage.outcomes.summing import lines_of
from reengage.outcomes.telling import ALL, Due, Telling, Told
from reengage.report import Funnel
from reengage.reports import campaign_tables, funnels, months, overview
from reengage.reports.cells import HIDDEN, MOST, is_small
from reengage.reports.files import campaigns_of
from reengage.reports.runs import RunRow
from reengage.reports.tables import Table
from reengage.settings import HOME
from scipy.optimize import Bounds, LinearConstraint, milp

EXCLUDED = ("no_jurisdiction_rule", "opted_out", "restriction")
WRITE = ("withheld", "refused", "tls", "smime")
ATOMS = (*EXCLUDED, "held_out", *WRITE, "besides")
"""Counts of a day that add up to all others. `besides`: of the code `restriction`, but excluded for
another reason before."""
SUMS = {
    "sent": ("tls", "smime"),
    "excluded": EXCLUDED,
    "eligible": ("held_out", *WRITE),
    "candidates": (*EXCLUDED, "held_out", *WRITE),
    "quality": ("restriction", "besides"),
    "write": WRITE,
}
"""`write`: whom a campaign was to write to; a month is told of them."""
TOTALS = ("excluded", "eligible", "candidates")
STANDING = (*EXCLUDED, "besides")
"""Counts of patients who are candidates day after day; those of letters are of new ones."""
NOUGHT = ("deferred", "unknown", "rehearsed", "pending")
"""An analyst is told a run when none of its letters are."""
Day = Mapping[str, int]
A_DAY = st.fixed_dictionaries(
    {
        **dict.fromkeys(ATOMS, st.one_of(st.just(0), st.integers(1, 12), st.integers(13, 90))),
        "tls": st.integers(0, 150),
        "besides": st.just(0),
    }
)


def day(**counts: int) -> Day:
    return {**dict.fromkeys(ATOMS, 0), **counts}


def value(counts: Day, name: str) -> int:
    return sum(counts[atom] for atom in SUMS.get(name, (name,)))


def funnel(counts: Day, number: int) -> Funnel:
    states = {one: counts.get(one, 0) for one in ("withheld", "refused", "deferred", "unknown")}
    excluded = {one: counts[one] for one in SUMS["excluded"] if counts[one]}
    quality = value(counts, "quality")
    return Funnel(
        campaign=CAMPAIGN.slug, as_of=date(2025, 6, 2) + timedelta(number), mode="live",
        finished=True, living=9000, inactive=4000, candidates=value(counts, "candidates"),
        excluded=excluded, eligible=value(counts, "eligible"), held_out=counts["held_out"],
        outcomes={**states, "sent": value(counts, "sent")}, rehearsed=0, seconds={},
        quality={"restriction": quality} if quality else {},
        seals={seal: counts[seal] for seal in ("tls", "smime") if counts[seal]},
    )  # fmt: skip


CAMPAIGN = campaigns_of(HOME)[0][0]


def row(number: int) -> RunRow:
    at = datetime(2025, 6, 2, 17, tzinfo=UTC) + timedelta(number)
    return RunRow(
        UUID(int=number + 1), CAMPAIGN.slug, at.date(), "live", f"manual__{number}", "green", (),
        "v", "b", (), True, at, at, at, None,
    )  # fmt: skip


@dataclass
class Reader:
    """What somebody knows of some days from the pages."""

    days: int
    stayed: Sequence[tuple[str, int]] = ()
    """Counts that are as they were on the day before, and that day."""
    sums: list[tuple[Any, int]] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)

    def form(self, name: str, numbers: Sequence[int]) -> Any:
        """The sum of a count over days, as coefficients of the atoms."""
        found = np.zeros((self.days, len(ATOMS)))
        for number in numbers:
            for atom in () if name in NOUGHT else SUMS.get(name, (name,)):
                found[number, ATOMS.index(atom)] = 1
        return found.ravel()

    def reads(self, cell: Any, name: str, *numbers: int) -> None:
        if cell is HIDDEN:
            if len(numbers) == 1:
                most = np.inf if name in TOTALS else MOST
                self.hidden.append((self.form(name, numbers), most))
        elif cell is not None:
            self.sums.append((self.form(name, numbers), cell))

    def span(self, name: str, number: int) -> tuple[float, float]:
        """The least and the most that a count may be."""
        limits = [LinearConstraint(form, n, n) for form, n in self.sums]
        limits += [LinearConstraint(form, 1, most) for form, most in self.hidden]
        limits += [
            LinearConstraint(self.form(one, [at]) - self.form(one, [at - 1]), 0, 0)
            for one, at in self.stayed
        ]
        within = self.form("opted_out", [number]) - self.form("besides", [number])
        limits.append(LinearConstraint(within, 0))
        objective = self.form(name, [number])
        found = []
        for sign in (1, -1):
            solved = milp(
                sign * objective, constraints=limits, bounds=Bounds(0, 2000),
                integrality=np.ones(objective.size),
            )  # fmt: skip
            assert solved.success, solved.message
            found.append(sign * round(solved.fun))
        return found[0], found[1]


def cells(found: Table) -> Iterator[dict[str, Any]]:
    for line in found.rows:
        yield dict(zip((column.name for column in found.columns), line, strict=True))


def read(days: Sequence[Day], standing: Sequence[str] = STANDING, month: bool = True) -> Reader:
    """All pages that tell of these days, to who knows of which standing counts nothing changed."""
    stayed = [
        (name, at)
        for at in range(1, len(days))
        for name in standing
        if days[at][name] == days[at - 1][name]
    ]
    reader, rows = Reader(len(days), stayed), [row(number) for number in range(len(days))]
    whole = [funnel(counts, number) for number, counts in enumerate(days)]
    seen = [funnels.shown(one, small=False) for one in whole]
    for number, shown in enumerate(seen):
        read_run(reader, number, shown)
    by_run = {one.run_id: shown for one, shown in zip(rows, seen, strict=True)}
    for number, line in enumerate(cells(campaign_tables.runs_table(rows, by_run))):
        for name in ("candidates", "eligible", "held_out", "sent", "refused"):
            reader.reads(line[name], name, number)
    of_campaign = {CAMPAIGN.slug: list(zip(rows, whole, strict=True))}
    numbers = range(len(days))
    for number, line in enumerate(cells(overview.sent_by_day([CAMPAIGN], of_campaign, False))):
        reader.reads(line[CAMPAIGN.slug], "sent", len(days) - 1 - number)
    for line in cells(overview.how_letters_fared([CAMPAIGN], of_campaign, False)):
        for name in ("sent", "refused", "deferred", "unknown"):
            reader.reads(line[name], name, *numbers)
        if HIDDEN in (line["offered"], line["sent"]):
            assert line["sent_share"] is HIDDEN
    last = {CAMPAIGN.slug: rows[-1]}, {CAMPAIGN.slug: seen[-1]}
    for line in cells(overview.last_runs([CAMPAIGN], *last, False)):
        for name in ("candidates", "excluded", "eligible", "held_out", "sent", "refused"):
            reader.reads(line[name], name, len(days) - 1)
    if month:
        read_month(reader, days, whole)
    return reader


def told_of(days: Sequence[Day]) -> list[Told]:
    """What is told of the month: the days' follow-ups, of whom nobody has come back."""

    def cells_of(*_: date) -> list[Cell]:
        away = {"returned": 0, "booked": 0, "kept": 0}
        some = (("write", "sent", True), ("write", "refused", False), ("write", "withheld", False),
                ("holdout", "held_out", False))  # fmt: skip
        return [
            Cell(arm, ("en", "80+", "unknown", "none"), away, written, n)  # type: ignore[arg-type]
            for arm, name, written in some
            if (n := sum(value(counts, name) for counts in days))
        ]

    one = Telling(2025, date(2026, 1, 31), [], cells_of, lambda *_: {})
    for horizon in HORIZONS:
        one.tell(Due(datetime(2026, 1, 31, tzinfo=UTC), horizon, date(2026, 1, 1)))
    return [row for row in one.new if row.slice == ALL]


def read_month(reader: Reader, days: Sequence[Day], whole: Sequence[Funnel]) -> None:
    """The month, where an Analyst is told of it."""
    rows, numbers = told_of(days), range(len(days))
    if months.tells(whole, rows):
        return
    for line in lines_of(rows):
        names = {"mature": "held_out"}
        if line.arm == "write":
            names = {"mature": "write", "written": "sent"}
        for column, name in names.items():
            reader.reads(getattr(line, column), name, *numbers)


def read_run(reader: Reader, number: int, shown: funnels.Shown) -> None:
    names = {"Candidates": "candidates", "Excluded": "excluded", "Eligible": "eligible"}
    there = set()
    for line in cells(campaign_tables.funnel_table(shown)):
        name = line["code"] or names[line["line"].partition(",")[0]]
        there.add(name)
        reader.reads(line["patients"], name, number)
        whole = shown.eligible if name in shown.rest else shown.candidates
        if HIDDEN in (line["patients"], whole):
            assert line["share"] in (HIDDEN, None)
    for line in cells(campaign_tables.quality_table(shown)):
        there.add("quality")
        reader.reads(line["patients"], "quality", number)
    for name in (*EXCLUDED, "held_out", "withheld", "refused", "sent"):  # without a line: nought
        if name not in there:
            reader.reads(0, name, number)


def require_hidden(
    days: Sequence[Day], standing: Sequence[str] = STANDING, month: bool = True
) -> None:
    reader = read(days, standing, month)
    for number, counts in enumerate(days):
        for name in (*ATOMS, *SUMS):
            if is_small(value(counts, name)):
                least, most = reader.span(name, number)
                assert most - least >= 9, (name, number, least, most)


@st.composite
def consecutive(draw: st.DrawFn) -> list[Day]:
    """Up to three days; some counts stay as they were on the day before."""
    days = [draw(A_DAY)]
    for _ in range(draw(st.integers(0, 2))):
        kept = draw(st.sets(st.sampled_from(ATOMS)))
        days.append({**draw(A_DAY), **{name: days[-1][name] for name in kept}})
    return days


ANOTHER_EACH_DAY = [
    day(no_jurisdiction_rule=4, opted_out=22, restriction=23, tls=300),
    day(no_jurisdiction_rule=4, opted_out=24, restriction=23, tls=300),
]
"""Who hides the next larger one with a small one hides the second one day, the third the next."""
GROWN = [day(refused=3, held_out=20, tls=100), day(refused=3, held_out=20, withheld=14, tls=100)]
"""Two live runs of a day: the second has looked once more."""


@settings(max_examples=30)
@given(consecutive())
@example(ANOTHER_EACH_DAY)
@example([ANOTHER_EACH_DAY[0], {**ANOTHER_EACH_DAY[0], "opted_out": 0}])
@example([day(refused=3, tls=90), day(refused=15, tls=90), day(tls=90)])
@example([day(refused=3, tls=97), day(refused=20, tls=100), day(refused=20, tls=110)])
@example([day(refused=3, held_out=20, tls=100), day(refused=4, tls=100)])
@example([day(opted_out=11, restriction=60, besides=3, tls=500)])
@example([day(refused=3, held_out=20, tls=100), day(held_out=30, tls=90)])
@example([day(held_out=3, refused=2, tls=95), day(held_out=6, refused=2, tls=4), day(tls=90)])
@example([day(opted_out=2, tls=90), day(opted_out=40, held_out=15, tls=90)])
def test_no_small_count_is_worked_out_from_all_pages(days: list[Day]) -> None:
    require_hidden(days)


@settings(max_examples=30)
@given(consecutive())
@example(GROWN)
@example([GROWN[1], GROWN[0]])
@example([{**GROWN[0], "smime": 4}, {**GROWN[0], "smime": 14}])
@example([day(restriction=100, besides=5, opted_out=20), day(restriction=100, opted_out=40)])
def test_nor_from_two_runs_of_a_day_of_which_nearly_all_is_the_same(runs: list[Day]) -> None:
    """Whoever saw the first before the second replaced it has both."""
    require_hidden(runs, ATOMS, month=False)


def test_the_solver_finds_what_a_naive_table_gives_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: with the sums as they were, it does."""
    naive = [day(refused=3, tls=97), day(refused=20, tls=100), day(refused=20, tls=110)]
    sums = iter([sum(value(one, name) for one in naive) for name in ("sent", "refused")])
    monkeypatch.setattr(overview, "over_days", lambda counts, *, small: next(sums, 0))
    with pytest.raises(AssertionError, match="refused"):
        require_hidden(naive)


def next_larger(whole: Funnel) -> funnels.Shown:
    """Hides small reasons together with the next larger one, and shows the totals."""
    first = sorted(whole.excluded, key=lambda code: whole.excluded[code])[:2]
    excluded = {code: HIDDEN if code in first else n for code, n in whole.excluded.items()}
    return replace(funnels.shown(whole, small=True), living=None, inactive=None, seals={},
                   quality={}, excluded=excluded)  # fmt: skip


def test_the_solver_finds_what_a_second_day_gives_away_that_hides_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And it fails of that, too, which each of the two days by itself does not give away."""
    found = [next_larger(funnel(one, n)) for n, one in enumerate(ANOTHER_EACH_DAY)]
    monkeypatch.setitem(globals(), "MOST", np.inf)  # what it hides may be any number
    monkeypatch.setattr(funnels, "shown", lambda whole, *, small: found[whole.as_of.day - 2])
    with pytest.raises(AssertionError, match="no_jurisdiction_rule"):
        require_hidden(ANOTHER_EACH_DAY)
    for number in (0, 1):
        monkeypatch.setattr(funnels, "shown", lambda *_, small, n=number: found[n])
        reader = read([ANOTHER_EACH_DAY[number]])
        least, most = reader.span("no_jurisdiction_rule", 0)
        assert most - least >= 9


ONE_HIDDEN = [day(refused=3, held_out=20, tls=100), day(held_out=30, tls=90)]
MANY_HIDDEN = [day(refused=1 + number % 3, held_out=20, tls=100) for number in range(20)]


def test_what_one_hidden_day_is_left_of_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the test above can fail of it: told all the same, the solver finds who was refused."""
    assert months.tells([funnel(one, n) for n, one in enumerate(ONE_HIDDEN)], told_of(ONE_HIDDEN))
    monkeypatch.setattr(months, "tells", lambda *_: False)
    with pytest.raises(AssertionError, match="refused"):
        require_hidden(ONE_HIDDEN)


def test_many_hidden_days_hide_each_other_and_their_month_is_told() -> None:
    whole = [funnel(one, number) for number, one in enumerate(MANY_HIDDEN)]
    assert not months.tells(whole, told_of(MANY_HIDDEN))
    reader = read(MANY_HIDDEN)
    least, most = reader.span("refused", 0)
    assert most - least >= 9


def test_that_a_few_were_counted_on_two_days_is_not_told() -> None:
    """Every day is shown whole: the month has three patients less than they have."""
    days = [day(held_out=30, tls=90), day(held_out=40, tls=80)]
    whole = [funnel(one, number) for number, one in enumerate(days)]
    rows = told_of(days)
    assert rows
    assert not months.tells(whole, rows)
    fewer = [replace(one, patients=one.patients - 3) for one in rows]
    assert months.tells(whole, fewer)
    assert not months.tells(whole, [replace(one, patients=one.patients - 20) for one in rows])
