"""Suppression: nobody who has every number that was ever told can work out a small one (PRV-27).

The attacker is a solver: integer counts of every kind of patient, held to all that is told of all
days, slices and margins. What is 1 to 10 patients in truth must be possible in a span of more than
ten.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise, product

import numpy as np
import pytest
from reengage.outcomes.cells import HORIZONS, Cell, Counts
from reengage.outcomes.suppression import SMALL, Part, choose, clear, is_clear
from reengage.outcomes.telling import ALL, GRID, Due, Telling, Told, due
from scipy.optimize import Bounds, LinearConstraint, milp

pytestmark = pytest.mark.long

YEAR = 2026
OVER = datetime(2027, 12, 31, tzinfo=UTC)
EVERY = bool(os.environ.get("REENGAGE_EVERY_SEED"))
"""More draws, and every count of each."""
MOST = 100_000
"""Patients that the attacker takes for possible, of any kind."""


@dataclass(frozen=True)
class Kind:
    """Patients that are alike in all that anybody could ask."""

    month: int
    language: str = "en"
    age: str = "40-64"
    back: int = 0
    """Within how many days, 0 = not; likewise the next two."""
    booked: int = 0
    kept: int = 0
    written: bool = True


Truth = Counter[Kind]
Group = Callable[[Kind], bool]


def cell(kind: Kind, patients: int, arm: str = "write") -> Cell:
    def place(day: int) -> int:
        return next((n for n, h in enumerate(HORIZONS, 1) if 0 < day <= h), 0)

    within = {"returned": place(kind.back), "booked": place(kind.booked), "kept": place(kind.kept)}
    return Cell(arm, (kind.language, kind.age, "unknown", "none"), within, kind.written, patients)  # type: ignore[arg-type]


def telling(truth: Truth, told: Sequence[Told] = (), arm: str = "write") -> Telling:
    def some(began: date, ended: date) -> Iterator[tuple[Kind, int]]:
        last = ended.month - 1 or 12
        return (
            one for one in sorted(truth.items(), key=str) if began.month <= one[0].month <= last
        )

    def days(began: date, ended: date) -> Counter[tuple[str, int]]:
        found: Counter[tuple[str, int]] = Counter()
        for kind, n in some(began, ended):
            if kind.back:
                found[arm, kind.back - 1] += n
        return found

    return Telling(
        YEAR, date(YEAR, 7, 1), list(told),
        lambda began, ended: [cell(kind, n, arm) for kind, n in some(began, ended)], days,
    )  # fmt: skip


def told_of(truth: Truth) -> list[Told]:
    """All that is ever told of a year."""
    one = telling(truth)
    for what in due(YEAR, None, OVER):
        one.tell(what)
    return one.new


class Attacker:
    """Everything that is told of one arm, as equations."""

    def __init__(self, kinds: Sequence[Kind], told: Sequence[Told]) -> None:
        self.kinds = list(kinds)
        rows, values = [], []
        for one in told:
            group = of_row(one)
            by = one.horizon_days
            for row, value in (
                (self.row(group), one.patients),
                (self.row(back_by(group, by)), one.returned),
                (self.row(lambda k, g=group, b=by: g(k) and 0 < k.booked <= b), one.booked),
                (self.row(lambda k, g=group, b=by: g(k) and 0 < k.kept <= b), one.kept),
                (self.row(lambda k, g=group: g(k) and k.written), one.written),
            ):
                if value is not None:
                    rows.append(row)
                    values.append(value)
        self.known = [LinearConstraint(np.array(rows), values, values)] if rows else []

    def row(self, wanted: Group) -> np.ndarray:
        return np.array([float(wanted(kind)) for kind in self.kinds])

    def span(self, row: np.ndarray) -> tuple[float, float]:
        """The least and the most that the count can be, for whoever knows all that is told."""
        ends = []
        for sign in (1, -1):
            found = milp(
                sign * row, constraints=self.known, integrality=np.ones(len(row)),
                bounds=Bounds(0, MOST),
            )  # fmt: skip
            assert found.success, found.message
            ends.append(round(found.fun))
        return ends[0], -ends[1]


def of_row(one: Told) -> Group:
    months = range(one.began.month, (one.ended.month - 1 or 12) + 1)

    def wanted(kind: Kind) -> bool:
        level = {"language": kind.language, "age_band": kind.age, "service_line": "unknown"}
        return kind.month in months and (one.slice == ALL or level.get(one.slice) == one.level)

    return wanted


def back_by(group: Group, day: int) -> Group:
    return lambda kind: group(kind) and 0 < kind.back <= day


def sensitive(kinds: Sequence[Kind], days: Sequence[int]) -> Iterator[tuple[str, Group]]:
    """Counts that somebody could want: of each month, some, all; of each level, both, everybody."""
    months = sorted({kind.month for kind in kinds})
    spans = [(a, b) for a, b in product(months, months) if a <= b]
    languages = [None, *sorted({kind.language for kind in kinds})]
    ages = [None, *sorted({kind.age for kind in kinds})]
    for (first, last), language, age in product(spans, languages, ages):

        def group(k: Kind, f=first, t=last, n=language, a=age) -> bool:  # type: ignore[no-untyped-def]
            return f <= k.month <= t and n in (None, k.language) and a in (None, k.age)

        name = f"{first} to {last}, {language}, {age}:"
        yield f"{name} all", group
        yield f"{name} unwritten", lambda k, g=group: g(k) and not k.written  # type: ignore[misc]
        for was, day in pairwise([0, *days]):
            back, before = back_by(group, day), back_by(group, was)
            yield f"{name} back by {day}", back
            yield (
                f"{name} back after {was}, by {day}",
                lambda k, a=back, b=before: a(k) and not b(k),
            )  # type: ignore[misc]
            yield f"{name} not back by {day}", lambda k, g=group, b=back: g(k) and not b(k)  # type: ignore[misc]
            for what in ("booked", "kept"):
                yield (
                    f"{name} {what} by {day}",
                    lambda k, g=group, w=what, d=day: g(k) and 0 < getattr(k, w) <= d,  # type: ignore[misc]
                )
            yield (
                f"{name} back by {day}, not kept",
                lambda k, b=back, d=day: b(k) and not 0 < k.kept <= d,  # type: ignore[misc]
            )
            yield (
                f"{name} booked by {day}, not kept",
                lambda k, g=group, d=day: g(k) and 0 < k.booked <= d and not 0 < k.kept <= d,  # type: ignore[misc]
            )


def worked_out(
    kinds: Sequence[Kind], truth: Truth, told: Sequence[Told], days: Sequence[int] = HORIZONS,
    most: int = 1000 if EVERY else 40,
) -> list[str]:  # fmt: skip
    """Small counts that the attacker knows to within ten or fewer; of `most` of them, by chance."""
    attacker = Attacker(kinds, told)
    small = [
        (name, row, count)
        for name, wanted in sensitive(kinds, days)
        for row in [attacker.row(wanted)]
        for count in [sum(n for kind, n in truth.items() if wanted(kind))]
        if not is_clear(count)
    ]
    order = np.random.default_rng(0).permutation(len(small))[:most]
    found = []
    for name, row, count in (small[n] for n in order):
        low, high = attacker.span(row)
        assert low <= count <= high
        if high - low <= SMALL:
            found.append(f"{name} {low} to {high}, is {count}")
    return found


def drawn(rng: np.random.Generator, kinds: Sequence[Kind], size: float) -> Truth:
    """Counts that differ a lot, by month, level and kind."""
    months = {m: rng.choice([0.1, 0.5, 1.0, 2.0]) for m in range(1, 13)}
    levels = {one: rng.choice([0.03, 0.2, 1.0, 3.0]) for one in ("en", "es", "vi")}
    share: dict[tuple[int, int, int, bool], float] = {}
    truth: Truth = Counter()
    for one in kinds:
        what = (one.back, one.booked, one.kept, one.written)
        likely = share.setdefault(what, 1.0 if not one.back else rng.choice([0.0, 0.05, 0.3]))
        if n := int(rng.poisson(size * months[one.month] * levels[one.language] * likely)):
            truth[one] = n
    return truth


# --- the attacker ---


@pytest.mark.parametrize("seed", range(60 if EVERY else 4))
def test_a_solver_cannot_recover_a_small_count_from_all_that_is_ever_told(seed: int) -> None:
    """All months, all days, two slices and their margins."""
    kinds = [
        Kind(month, language, age, back)
        for month in (1, 2, 3, 12) for language in ("en", "es", "vi")
        for age in ("18-39", "80+") for back in (0, *HORIZONS)
    ]  # fmt: skip
    truth = drawn(np.random.default_rng(seed), kinds, [5, 25, 120][seed % 3])
    assert worked_out(kinds, truth, told_of(truth)) == []


@pytest.mark.parametrize("seed", range(30 if EVERY else 3))
def test_nor_from_the_curve_beside_them(seed: int) -> None:
    days = sorted({*GRID, *HORIZONS})
    kinds = [
        Kind(month, language, back=back)
        for month in (1, 2) for language in ("en", "es") for back in (0, *days)
    ]  # fmt: skip
    truth = drawn(np.random.default_rng(seed), kinds, [4, 20, 60][seed % 3])
    told = told_of(truth)
    assert worked_out(kinds, truth, told, days) == []
    assert seed % 3 < 1 or any(one.horizon_days not in HORIZONS for one in told)


@pytest.mark.parametrize("seed", range(40 if EVERY else 4))
def test_nor_from_who_booked_and_kept_and_was_written_to(seed: int) -> None:
    kinds = [
        Kind(month, language, back=back, booked=booked, kept=kept, written=written)
        for month in (1, 2) for language in ("en", "es")
        for back in (0, 30, 60) for booked in (0, 30, 60) for kept in (0, 30, 60)
        for written in (True, False)
        if not kept or (0 < back <= kept and 0 < booked <= kept)
    ]  # fmt: skip
    truth = drawn(np.random.default_rng(seed), kinds, [4, 15, 60, 200][seed % 4])
    told = told_of(truth)
    assert worked_out(kinds, truth, told, HORIZONS[:2]) == []
    assert seed % 4 < 3 or any(one.kept is not None for one in told)


def test_the_solver_would_have_found_what_a_naive_table_gives_away() -> None:
    """Small cells alone withheld, each by itself: the margins give them back."""
    truth: Truth = Counter({Kind(1): 300, Kind(1, back=30): 40, Kind(1, "es"): 50,
                            Kind(1, "es", back=30): 5})  # fmt: skip
    row = Told(YEAR, date(YEAR, 1, 1), date(YEAR, 2, 1), ALL, ALL, "write", 30, date.min, 395, 45)
    en = replace(row, slice="language", level="en", patients=340, returned=40)
    assert "1 to 1, es, None: back by 30 5 to 5, is 5" in worked_out(list(truth), truth, [row, en])


def test_the_solver_would_have_found_what_two_days_give_away() -> None:
    """The same group counted again, when five more had come back."""
    truth: Truth = Counter({Kind(1): 300, Kind(1, back=30): 40, Kind(1, back=60): 5})
    row = Told(YEAR, date(YEAR, 1, 1), date(YEAR, 2, 1), ALL, ALL, "write", 30, date.min, 345, 40)
    found = worked_out(list(truth), truth, [row, replace(row, horizon_days=60, returned=45)])
    assert "1 to 1, None, None: back after 30, by 60 5 to 5, is 5" in found


# --- what is told, and when ---


def test_much_is_told_all_the_same() -> None:
    kinds = [Kind(m, language, back=back) for m in (1, 2, 3) for language in ("en", "es", "vi")
             for back in (0, *HORIZONS)]  # fmt: skip
    told = {
        size: sum(
            n.horizon_days in HORIZONS
            for n in told_of(drawn(np.random.default_rng(3), kinds, size))
        )
        for size in (5, 50, 5000)
    }
    assert told[5] < told[50] <= told[5000]
    assert told[5000] >= 3 * 4 * 4  # three months, four horizons, everybody and two levels or more


@pytest.mark.parametrize(("count", "told"), [(0, True), (1, False), (10, False), (11, True)])
def test_none_and_eleven_are_told_one_and_ten_are_not(count: int, told: bool) -> None:
    rows = told_of(Counter({Kind(1): 100, Kind(1, back=30): count}))
    assert bool([one for one in rows if one.horizon_days == 30]) == told


def test_who_came_back_between_two_horizons_is_protected_too() -> None:
    first, few, many = (Counts(100, n, 0, 0, 100) for n in (40, 43, 51))
    assert clear(Part(first))
    assert not clear(Part(few, first))
    assert clear(Part(many, first))


def test_who_returned_or_booked_and_did_not_keep_it_is_protected_too() -> None:
    few_away = Part(Counts(200, 60, 100, 55, 200))
    few_missed = Part(Counts(200, 100, 60, 55, 200))
    for part in (few_away, few_missed):
        assert clear(part, ["booked"])
        assert not clear(part, ["booked", "kept"])
    assert clear(few_missed, ["kept"])


def after_a_small_january(**february: int) -> Truth:
    """Languages of January are too small to tell and wait for February; five of it are special."""
    truth: Truth = Counter()
    for language, special in (("en", 3), ("es", 2)):
        truth[Kind(1, language)], truth[Kind(1, language, back=30)] = 20, 6
        truth[Kind(2, language)], truth[Kind(2, language, back=30)] = 200, 60
        truth[Kind(1, language, **february)] = special
        truth[Kind(2, language, **february)] = 60
    return truth


def of_languages(truth: Truth) -> list[Told]:
    rows = [one for one in told_of(truth) if one.slice == "language"]
    assert {(one.began.month, one.ended.month) for one in rows} == {(1, 3)}
    return rows


def test_a_slice_is_told_by_a_horizon_only_where_each_of_its_months_is() -> None:
    """January by 60 days is left out: the slice of both months less February would tell it."""
    rows = of_languages(after_a_small_january(back=60))
    assert {one.horizon_days for one in rows} == {30}


def test_a_slice_tells_a_column_only_where_each_of_its_months_does() -> None:
    rows = of_languages(after_a_small_january(booked=30))
    assert {one.booked for one in rows} == {None}
    assert {one.written for one in rows} != {None}


def test_a_level_that_is_withheld_never_stands_alone() -> None:
    sizes = {"en": 900, "es": 300, "vi": 4}
    levels = {name: Part(Counts(n, 0, 0, 0, 0)) for name, n in sizes.items()}
    assert choose(levels, Part(Counts(1204, 0, 0, 0, 0))) == {"en"}


def test_a_level_that_was_withheld_is_not_told_later() -> None:
    sizes = {"en": 120, "es": 99, "vi": 4}
    rows = told_of(
        Counter({Kind(1, name, back=b): n for name, n in sizes.items() for b in (0, 30, 90)})
    )
    by_horizon = [
        {one.level for one in rows if (one.slice, one.horizon_days) == ("language", h)}
        for h in HORIZONS
    ]
    assert by_horizon[0] == {"en"}
    assert all(later <= earlier for earlier, later in pairwise(by_horizon))


def test_what_is_too_small_waits_for_the_next_month_and_is_one_group_with_it() -> None:
    truth: Truth = Counter(
        {Kind(m, back=back): n for m in (1, 2, 3) for back, n in ((0, 90), (30, 7))}
    )
    groups = {(one.began.month, one.ended.month) for one in told_of(truth)}
    assert groups == {(1, 3)}  # January and February; March waits


def test_at_the_end_of_the_year_nothing_is_waited_for() -> None:
    truth: Truth = Counter({Kind(12): 90, Kind(12, back=30): 4, Kind(12, back=90): 30})
    assert {one.horizon_days for one in told_of(truth) if one.horizon_days in HORIZONS} == {90, 180}


def test_a_number_is_told_once_whatever_becomes_known_later() -> None:
    """Late entries: what was told stands, and what is told after it differs from it by nobody or by
    more than ten.
    """
    rng = np.random.default_rng(4)
    kinds = [
        Kind(m, name, back=back)
        for m in (1, 2, 3)
        for name in ("en", "es")
        for back in (0, *HORIZONS)
    ]
    truth, told = drawn(rng, kinds, 60), list[Told]()
    for one in due(YEAR, None, OVER):
        for kind in rng.choice(
            len(kinds), 4
        ):  # somebody's visit is entered late, another's is gone
            truth[kinds[kind]] = max(0, truth[kinds[kind]] + int(rng.integers(-2, 6)))
        day = telling(truth, told)
        day.tell(one)
        told = day.told
    keys = [(t.began, t.slice, t.level, t.arm, t.horizon_days) for t in told]
    assert len(keys) == len(set(keys)) > 20
    for a in told:
        for b in told:
            if (a.began, a.slice, a.level) == (b.began, b.slice, b.level):
                assert is_clear(abs(a.patients - b.patients))
                assert is_clear(abs(a.returned - b.returned))


def test_both_arms_are_told_of_the_same_patients_or_wait() -> None:
    def cells(began: date, ended: date) -> list[Cell]:
        months = range(began.month, (ended.month - 1 or 12) + 1)
        return [cell(Kind(m, back=back), n, arm) for m in months if m < 4
                for arm, n in (("write", 100), ("holdout", 6)) for back in (0, 30)]  # fmt: skip

    one = Telling(YEAR, date(YEAR, 7, 1), [], cells, lambda *_: {})
    for what in due(YEAR, None, datetime(YEAR, 4, 15, tzinfo=UTC)):
        one.tell(what)
    assert {(t.arm, t.began.month, t.ended.month) for t in one.new} == {
        ("write", 1, 3), ("holdout", 1, 3),
    }  # fmt: skip


def test_what_is_due_comes_in_the_order_of_time_and_once() -> None:
    until = [datetime(YEAR, m, 5, tzinfo=UTC) for m in range(1, 13)]
    found: list[Due] = []
    for after, now in pairwise([None, *until]):
        assert now is not None
        found += due(YEAR, after, now)
    assert found == due(YEAR, None, until[-1])
    assert found == sorted(found)
    assert (found[0].at, found[0].horizon) == (datetime(YEAR, 3, 3, tzinfo=UTC), 30)
