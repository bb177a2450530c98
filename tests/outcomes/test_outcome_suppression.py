"""Suppression: nobody who has every number that is told can work out a small one (PRV-27).

The attacker is a solver: integer counts of every kind of follow-up, held to all that is told. What
is 1 to 10 patients in truth must be possible in more ways than ten numbers wide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pytest
from reengage.outcomes.cells import EVENTS, HORIZONS, Cell, Group, group_of
from reengage.outcomes.suppression import SMALL, clear, is_clear
from reengage.outcomes.telling import ALL, NEVER, Before, Line, tell
from scipy.optimize import Bounds, LinearConstraint, milp

DAY = date(2026, 7, 1)
ATOMS = [(mature, back) for mature in range(5) for back in range(mature + 1)]
"""How many horizons are over, and the first that the return lies within, 0 = none of them."""
MOST = 100_000
"""Patients that the attacker takes for possible, of any kind."""
Lines = Sequence[Line]


def made(seed: int, levels: int, size: float, *, closed: bool = False) -> list[Cell]:
    """Follow-ups of levels whose sizes differ a lot; `closed`: all horizons are over."""
    rng = np.random.default_rng(seed)
    cells = []
    for level in range(levels):
        mean = size * rng.choice([0.03, 0.2, 1.0, 3.0])
        for mature, back in [(4, r) for r in range(5)] if closed else ATOMS:
            share = 1.0 if not back else rng.choice([0.0, 0.05, 0.3])
            patients = int(rng.poisson(mean * share))
            if patients:
                cells.append(cell(f"level{level}", mature, back, patients))
    return cells


def cell(level: str, mature: int, back: int, patients: int, arm: str = "write") -> Cell:
    within = dict.fromkeys(EVENTS, back)
    return Cell(arm, (level, "unknown", "unknown", "none"), mature, within, True, patients)


class Attacker:
    """Everything that is told of one arm and of the slice `language`, as equations."""

    def __init__(self, lines: Lines, levels: Sequence[str]) -> None:
        self.levels = list(levels)
        self._rows: list[np.ndarray] = []
        self._values: list[int] = []
        for line in lines:
            if line.counted_on is None or line.slice not in (ALL, "language"):
                continue
            of = self.levels if line.slice == ALL else [line.level]
            place = HORIZONS.index(line.horizon_days) + 1
            self._know(self.enrolled(of), line.enrolled)
            self._know(self.mature(of, place), line.mature)
            self._know(self.back(of, place), line.returned)

    def _know(self, row: np.ndarray, value: int | None) -> None:
        assert value is not None
        self._rows.append(row)
        self._values.append(value)

    def _where(self, of: Sequence[str], wanted: object) -> np.ndarray:
        return np.array([
            float(level in of and wanted(mature, back))  # type: ignore[operator]
            for level in self.levels
            for mature, back in ATOMS
        ])  # fmt: skip

    def enrolled(self, of: Sequence[str]) -> np.ndarray:
        return self._where(of, lambda m, r: True)

    def mature(self, of: Sequence[str], place: int) -> np.ndarray:
        return self._where(of, lambda m, r: m >= place)

    def back(self, of: Sequence[str], place: int) -> np.ndarray:
        return self._where(of, lambda m, r: m >= place and 0 < r <= place)

    def sensitive(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every count of patients that somebody could want: of each level, and of all."""
        for name, of in [(ALL, self.levels), *((level, [level]) for level in self.levels)]:
            yield f"{name} enrolled", self.enrolled(of)
            for h in range(1, 5):
                after, before = self.mature(of, h), self.mature(of, h - 1)
                yield f"{name} mature at {h}", after
                yield f"{name} mature at {h - 1} and not at {h}", before - after
                yield f"{name} back by {h}", self.back(of, h)
                yield f"{name} not back by {h}", after - self.back(of, h)
                yield (
                    f"{name} back between {h - 1} and {h}",
                    self._where(of, lambda m, r, h=h: m >= h and r == h),
                )

    def span(self, row: np.ndarray) -> tuple[float, float]:
        """The least and the most that the count can be, for whoever knows all that is told."""
        known = (
            [LinearConstraint(np.array(self._rows), self._values, self._values)]
            if self._rows
            else []
        )
        ends = []
        for sign in (1, -1):
            found = milp(
                sign * row,
                constraints=known,
                integrality=np.ones(len(row)),
                bounds=Bounds(0, MOST),
            )
            assert found.success, found.message
            ends.append(found.fun)
        return ends[0], -ends[1]


def truth(cells: Sequence[Cell], levels: Sequence[str]) -> np.ndarray:
    counts: dict[tuple[str, int, int], int] = defaultdict(int)
    for one in cells:
        back = one.within["returned"]
        counts[one.levels[0], one.mature, back if back <= one.mature else 0] += one.patients
    return np.array([counts[level, *atom] for level in levels for atom in ATOMS], dtype=float)


def worked_out(cells: Sequence[Cell], lines: Lines) -> list[str]:
    """Small counts that the attacker knows to within ten or fewer."""
    levels = sorted({one.levels[0] for one in cells})
    attacker, real = Attacker(lines, levels), truth(cells, levels)
    found = []
    for name, row in attacker.sensitive():
        count = int(row @ real)
        if not is_clear(count):
            least, most = attacker.span(row)
            assert least <= count <= most
            if most - least <= SMALL:
                found.append(f"{name}: {least:g} to {most:g}, is {count}")
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_solver_cannot_recover_a_small_count_from_all_that_is_told(seed: int) -> None:
    cells = made(seed, levels=2 + seed % 4, size=[12, 40, 200][seed % 3], closed=seed % 2 == 1)
    lines = tell(cells, "write", DAY, NEVER)
    assert worked_out(cells, lines) == []


def test_the_solver_would_have_found_what_a_naive_table_gives_away() -> None:
    """Small cells alone withheld, each by itself: the margins give them back."""
    cells = [cell("en", 4, 0, 300), cell("en", 4, 1, 40), cell("es", 4, 0, 50), cell("es", 4, 1, 5)]
    lines = [
        Line(slice_, level, "write", days, DAY, group.enrolled, None, one.patients,
             one.events["returned"])
        for slice_, level in ((ALL, ALL), ("language", "en"))
        for group in [group_of(c for c in cells if level in (ALL, c.levels[0]))]
        for days, one in zip(HORIZONS, group.horizons, strict=True)
    ]  # fmt: skip
    assert "es back by 1: 5 to 5, is 5" in worked_out(cells, lines)


def test_much_is_told_all_the_same() -> None:
    told = {}
    for size in (20, 200, 2000):
        lines = tell(made(3, 5, size, closed=True), "write", DAY, NEVER)
        told[size] = sum(one.counted_on is not None for one in lines) / len(lines)
    assert told[20] < told[200] <= told[2000]
    assert told[2000] > 0.8


@pytest.mark.parametrize(("count", "told"), [(0, True), (1, False), (10, False), (11, True)])
def test_none_and_eleven_are_told_one_and_ten_are_not(count: int, told: bool) -> None:
    cells = [cell("en", 4, 0, 100)] + ([cell("en", 4, 1, count)] if count else [])
    lines = tell(cells, "write", DAY, NEVER)
    everybody = [one for one in lines if one.slice == ALL]
    assert {one.returned is not None for one in everybody} == {told}


def test_who_was_away_and_returned_between_two_horizons_is_protected_too() -> None:
    group = group_of([cell("en", 4, 0, 100), cell("en", 4, 1, 40), cell("en", 4, 2, 3)])
    assert clear(group, "returned", 1)
    assert not clear(group, "returned", 2)


def test_a_level_that_is_withheld_never_stands_alone() -> None:
    cells = [cell(level, 4, 0, n) for level, n in (("en", 900), ("es", 300), ("vi", 4))]
    lines = [one for one in tell(cells, "write", DAY, NEVER) if one.slice == "language"]
    assert {one.level for one in lines if one.counted_on is None} == {"es", "vi"}


def test_from_day_to_day_no_number_changes_by_one_to_ten_patients() -> None:
    rng = np.random.default_rng(9)
    cells: list[Cell] = []
    before, history = NEVER, []
    for number in range(120):
        cells = grown(cells, rng)
        day = DAY + timedelta(days=number)
        lines = tell(cells, "write", day, before)
        history += [one for one in lines if one.counted_on == day]
        totals = {
            **before.totals,
            ("write", day): [one for one in lines if one.slice == ALL and one.counted_on == day],
        }
        before = Before(lines, totals)
    changes = [
        abs(getattr(new, name) - getattr(old, name))
        for key, some in by_key(history).items()
        for old, new in combinations(some, 2)
        for name in ("enrolled", "mature", "returned", "booked", "kept")
        if getattr(old, name) is not None and getattr(new, name) is not None
    ]
    assert len({one.counted_on for one in history}) > 5
    assert [change for change in changes if not is_clear(change)] == []


def test_levels_together_do_not_change_by_a_few_patients_either() -> None:
    """What is not told of a slice is the total less what is told, on both days."""
    first = [cell("en", 4, 0, 100), cell("es", 4, 0, 60), cell("vi", 4, 0, 40)]
    lines = tell(first, "write", DAY, NEVER)
    before = Before(lines, {("write", DAY): [one for one in lines if one.slice == ALL]})
    later = [*first, cell("en", 4, 0, 20), cell("es", 4, 0, 3)]
    told = tell(later, "write", DAY + timedelta(days=1), before)
    stands = {one.counted_on for one in told if one.slice == "language"}
    assert stands == {DAY}
    assert {one.counted_on for one in told if one.slice == ALL} == {DAY + timedelta(days=1)}


def test_numbers_that_may_not_follow_stand_with_their_day() -> None:
    first = [cell("en", 4, 0, 100)]
    lines = tell(first, "write", DAY, NEVER)
    before = Before(lines, {("write", DAY): [one for one in lines if one.slice == ALL]})
    assert tell([*first, cell("en", 4, 0, 3)], "write", DAY + timedelta(days=1), before) == lines
    grown_enough = tell([*first, cell("en", 4, 0, 11)], "write", DAY + timedelta(days=1), before)
    assert {one.enrolled for one in grown_enough} == {111}


def grown(cells: Sequence[Cell], rng: np.random.Generator) -> list[Cell]:
    """A day later: some horizons are over, some came back, new ones begin."""
    counts: dict[tuple[str, int, int], int] = defaultdict(int)
    for one in cells:
        counts[one.levels[0], one.mature, one.within["returned"]] += one.patients
    for (level, mature, back), patients in list(counts.items()):
        moved = int(rng.binomial(patients, 0.03))
        if mature < 4 and moved:
            counts[level, mature, back] -= moved
            now = back or (mature + 1 if rng.random() < 0.3 else 0)
            counts[level, mature + 1, now] += moved
    for level, most in (("en", 40), ("es", 8), ("vi", 2)):
        counts[level, 0, 0] += int(rng.integers(0, most))
    return [cell(*key, patients) for key, patients in sorted(counts.items()) if patients]


def by_key(lines: Lines) -> dict[tuple[str, str, int], list[Line]]:
    found: dict[tuple[str, str, int], list[Line]] = defaultdict(list)
    for one in lines:
        found[one.slice, one.level, one.horizon_days].append(one)
    return found


def test_a_group_less_another_is_what_is_left() -> None:
    whole = group_of([cell("en", 4, 1, 30), cell("es", 2, 0, 12)])
    part = group_of([cell("es", 2, 0, 12)])
    rest: Group = whole - part
    assert rest == group_of([cell("en", 4, 1, 30)])
    assert replace(rest, enrolled=0) != rest
