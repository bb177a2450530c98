"""Report: the funnel of each campaign's day, as numbers that add up.

    candidates = excluded + eligible
    eligible   = held_out + withheld + sent + refused + deferred + unknown (+ rehearsed + pending)

`rehearsed` appears only for a dry run or a replay, `pending` only for a run that has not ended:
eligible patients whose letter is not written or not sent yet. Counts of patients and letters; no
row of a patient is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from reengage.reasons import CONTRADICTIONS
from reengage.sql import load_sql

STEPS = (
    "preflight", "extract", "gate", "plan", "letter", "check_letters", "send", "settle", "shred",
)  # fmt: skip
_NOTES = {"live": [], "dry": ["(dry run)"], "replay": ["(replay)"]}
_SEALS = {"smime": "by S/MIME", "tls": "by guaranteed TLS", "portal": "by the portal"}
_OUTCOMES = ("withheld", "sent", "refused", "deferred", "unknown")


@dataclass(frozen=True)
class Funnel:
    """One campaign's day. All counts are of patients; one letter goes to one patient."""

    campaign: str
    as_of: date
    mode: str
    finished: bool
    living: int
    inactive: int
    candidates: int
    excluded: dict[str, int]
    eligible: int
    held_out: int
    outcomes: dict[str, int]
    rehearsed: int
    seconds: dict[str, float]
    quality: dict[str, int] = field(default_factory=dict)
    """Candidates by what is odd in their data or contradicts; each under all that apply."""
    seals: dict[str, int] = field(default_factory=dict)
    """Letters that left, or were rehearsed, by how they are sealed."""
    warnings: tuple[str, ...] = ()
    """What ends soon: an agreement, the practice's certificate."""

    @property
    def accounted(self) -> int:
        """Eligible patients of whom it is known what became of their letter."""
        return self.held_out + sum(self.outcomes.values()) + self.rehearsed

    @property
    def pending(self) -> int:
        """Eligible patients whose letter a run that has not ended still owes."""
        return 0 if self.finished else max(0, self.eligible - self.accounted)

    @property
    def adds_up(self) -> bool:
        """Whether every candidate and every eligible patient is accounted for."""
        return (
            self.candidates == sum(self.excluded.values()) + self.eligible
            and self.eligible == self.accounted + self.pending
        )

    def as_json(self) -> dict[str, Any]:
        """The object of `report --json`."""
        found: dict[str, Any] = {
            "campaign": self.campaign,
            "as_of": self.as_of.isoformat(),
            "living": self.living,
            "inactive": self.inactive,
            "candidates": self.candidates,
            "excluded": self.excluded,
            "eligible": self.eligible,
            "held_out": self.held_out,
            **self.outcomes,
            "seconds": self.seconds,
        }
        rare = {
            "rehearsed": self.rehearsed,
            "pending": self.pending,
            "quality": self.quality,
            "seals": self.seals,
            "warnings": list(self.warnings),
        }
        return found | {name: count for name, count in rare.items() if count}


def read_funnels(engine: Engine, home: Path, as_of: date | None = None) -> list[Funnel]:
    """The funnel of every campaign's latest run, or of its latest run for the day `as_of`."""
    with engine.connect() as connection:
        found = connection.execute(
            text(load_sql(home, "reports/funnel.sql")),
            {"as_of": as_of, "run_id": None, "contradictions": sorted(CONTRADICTIONS)},
        ).all()
    return [funnel_of(row) for row in found]


def render(funnels: Sequence[Funnel], console: Console) -> None:
    """Print the funnels side by side, then the time that each step took."""
    if not funnels:
        console.print("No run yet: `make run` makes one.")
        return
    console.print(_table("Funnel", funnels, _funnel_rows(funnels)))
    console.print(_table("Seconds per step", funnels, _second_rows(funnels)))
    if codes := sorted({code for funnel in funnels for code in funnel.quality}):
        rows = [_counts(f"  {code}", [f.quality.get(code, 0) for f in funnels]) for code in codes]
        console.print(_table("Data quality", funnels, rows))
    for warning in dict.fromkeys(one for funnel in funnels for one in funnel.warnings):
        console.print(f"[yellow]warning   {warning}[/]", soft_wrap=True)
    for funnel in funnels:
        if not funnel.adds_up:
            console.print(f"[bold red]{funnel.campaign}: the numbers do not add up[/]")


def funnel_of(row: Any) -> Funnel:
    """A row of reports/funnel.sql."""
    states = dict(row.states)
    return Funnel(
        campaign=row.campaign,
        as_of=row.as_of,
        mode=row.mode,
        finished=row.finished,
        living=row.living,
        inactive=row.inactive,
        candidates=row.candidates,
        excluded={reason: int(count) for reason, count in sorted(row.excluded.items())},
        eligible=row.eligible,
        held_out=row.held_out,
        outcomes={state: int(states.get(state, 0)) for state in _OUTCOMES},
        rehearsed=int(states.get("rehearsed", 0)),
        seconds={step: float(row.seconds[step]) for step in STEPS if step in row.seconds},
        quality=dict(sorted(row.quality.items())),
        seals={seal: int(row.seals[seal]) for seal in _SEALS if seal in row.seals},
        warnings=tuple(row.warnings),
    )


def _table(title: str, funnels: Sequence[Funnel], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("", no_wrap=True)
    for funnel in funnels:
        heading = [*funnel.campaign.split("_"), str(funnel.as_of), *_NOTES[funnel.mode]]
        table.add_column("\n".join(heading), justify="right", vertical="bottom")
    for row in rows:
        table.add_row(*row, style="bold" if not row[0].startswith(" ") else "")
    return table


def _counts(label: str, values: Sequence[int]) -> list[str]:
    return [
        label,
        *(f"{value:,}" if value or not label.startswith("  ") else "·" for value in values),
    ]


def _funnel_rows(funnels: Sequence[Funnel]) -> list[list[str]]:
    reasons = sorted({reason for funnel in funnels for reason in funnel.excluded})
    rows = [
        _counts("living", [f.living for f in funnels]),
        _counts("inactive", [f.inactive for f in funnels]),
        _counts("candidates", [f.candidates for f in funnels]),
        _counts("excluded", [sum(f.excluded.values()) for f in funnels]),
        *(
            _counts(f"  {reason}", [f.excluded.get(reason, 0) for f in funnels])
            for reason in reasons
        ),
        _counts("eligible", [f.eligible for f in funnels]),
        _counts("  held out", [f.held_out for f in funnels]),
        *(_counts(f"  {state}", [f.outcomes[state] for f in funnels]) for state in _OUTCOMES),
    ]
    for seal, label in _SEALS.items():
        if any(seal in funnel.seals for funnel in funnels):
            rows.append(_counts(f"  {label}", [f.seals.get(seal, 0) for f in funnels]))
    for label in ("rehearsed", "pending"):
        if any(getattr(funnel, label) for funnel in funnels):
            rows.append(_counts(f"  {label}", [getattr(funnel, label) for funnel in funnels]))
    return rows


def _second_rows(funnels: Sequence[Funnel]) -> list[list[str]]:
    return [
        [f"  {step}", *(f"{f.seconds[step]:.2f}" if step in f.seconds else "·" for f in funnels)]
        for step in STEPS
    ]
