"""Figures of many rounds, as a table that a person reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from chaos.causes import causes_of_unknown
from chaos.plan import WILD_WAVES
from chaos.round import Played
from chaos.site import LETTERS


@dataclass
class Figures:
    """What happened in all rounds so far."""

    rounds: int = 0
    tries: int = 0
    violations: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    def add(self, played: Played, wrong: list[str]) -> None:
        addresses = {played.run.pseudonym(f"p{n}"): f"p{n}@example.org" for n in range(LETTERS)}
        self.rounds += 1
        self.tries += len(played.tries)
        self.violations += len(wrong)
        self.letters.update(letter["state"] for letter in played.letters)
        self.unknown.update(causes_of_unknown(played, addresses).by_cause)
        self.faults.update(str(fault) for fault in played.faults)
        befell = [what for one in played.tries for what in one.befell]
        self.events.update(what for what in befell if not what.endswith("later"))
        self.events["paused by the breaker, approved"] += played.pauses
        self.events["stopped by the breaker, not answered on its day"] += played.stopped
        for limit in played.plan.rate:
            self.limits[limit] += 1
        self.events["clock jumped"] += sum(
            bool(one.clock) and one.wave < WILD_WAVES for one in played.tries
        )
        self.events["cleared from `letter` on"] += sum(len(one.rooms) > 1 for one in played.tries)
        self.ends.update(one.ended[0] for one in played.tries)

    def merge(self, other: Figures) -> None:
        """Those of rounds that another process has played, too."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, mine + theirs)

    def table(self) -> str:
        """All of it, in Markdown."""
        rows = [
            ("rounds", self.rounds), ("tasks started", self.tries),
            ("letters", sum(self.letters.values())), ("violations", self.violations),
            *_rows("letters that ended as", self.letters),
            *_rows("unknown because", self.unknown),
            *_rows("done to tasks:", self.events),
            *_rows("rounds with a limit:", self.limits),
            *_rows("done by the relay:", self.faults),
            *_rows("tasks that ended as", self.ends),
        ]  # fmt: skip
        return "\n".join(["| what | number |", "|---|---|", *(f"| {a} | {n:,} |" for a, n in rows)])


def _rows(title: str, counts: Counter[str]) -> list[tuple[str, int]]:
    return [(f"{title} {what}", number) for what, number in sorted(counts.items())]
