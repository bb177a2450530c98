"""Why: each rule's outcome for one patient on one day, and the rows that it rests on.

Two answers side by side: what was decided and kept that day, opened with the month's key, and what
the warehouse says today as of that day, asked with the extraction's own SQL. They differ when the
warehouse was corrected since. Shows keys and instants, never a name or an address; whoever runs it
needs the keyring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from reengage import reasons
from reengage.campaigns import Campaign
from reengage.pipeline import decisions
from reengage.pipeline.asking import asking
from reengage.pipeline.run import Run
from reengage.settings import Settings
from reengage.sql import load_sql

_NO_RUN = UUID(int=0)


@dataclass(frozen=True)
class Kept:
    """A decision as it was kept. `evidence` is empty where a letter had been decided before."""

    run_id: UUID
    mode: str
    opened_at: datetime
    reasons: Sequence[str]
    notes: Sequence[str]
    arm: str | None
    evidence: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Today:
    """What the warehouse says today, as of the day."""

    known: bool
    last_visit_at: datetime | None
    next_appointment_at: datetime | None
    prescriptions: int
    reasons: Sequence[str]
    evidence: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Told:
    """A refusal that our own store knows; `scope` None = every purpose, or every campaign."""

    kind: str
    scope: str | None
    at: datetime
    channel: str


@dataclass(frozen=True)
class Outcome:
    """One rule's outcome: `against`, `in order`, or `not asked` where nothing was decided."""

    code: str
    means: str
    rules: Sequence[str]
    outcome: str
    rests_on: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Explanation:
    """One campaign's answer. `letters` are state and reason of the day's letters."""

    campaign: str
    day: date
    kept: Sequence[Kept]
    today: Today
    letters: Sequence[tuple[str, str | None]]
    refusals: Sequence[Told]

    @property
    def outcomes(self) -> list[Outcome]:
        """Every rule's outcome: of the latest kept decision, else of the warehouse."""
        latest = self.kept[-1] if self.kept else None
        against = set(latest.reasons if latest else self.today.reasons)
        evidence = (latest.evidence if latest else None) or self.today.evidence
        return [
            Outcome(
                reason.code,
                reason.means,
                reason.rules,
                _outcome(reason, against, decided=latest is not None),
                {
                    name: evidence.get(name)
                    for name in reason.rests_on
                    if reason.code in against or evidence.get(name) is not None
                },
            )
            for reason in reasons.EXCLUDED
        ]

    @property
    def corrected(self) -> bool:
        """Whether the warehouse would give other reasons today than those that were kept."""
        if not self.kept:
            return False
        asked = {r.code for r in reasons.EXCLUDED if r.origin == "warehouse"} - {"opted_out"}
        return asked & set(self.kept[-1].reasons) != asked & set(self.today.reasons)


def explain(settings: Settings, campaign: Campaign, patient_key: str, day: date) -> Explanation:
    """The answer for one campaign."""
    run = Run(_NO_RUN, day, "replay", campaign, settings)
    kept = _kept(run, patient_key)
    subject: Mapping[str, Any] = next((k.evidence for k in reversed(kept) if k.evidence), {})
    return Explanation(
        campaign.slug,
        day,
        kept,
        _today(run, patient_key, subject),
        _letters(run, patient_key),
        _refusals(run, patient_key),
    )


def _outcome(reason: reasons.Reason, against: set[str], *, decided: bool) -> str:
    if reason.code in against:
        return "against"
    return "in order" if decided or reason.origin == "warehouse" else "not asked"


def _kept(run: Run, patient_key: str) -> list[Kept]:
    patient = run.pseudonym(patient_key)
    with run.store.connect() as connection:
        found = connection.execute(
            text(
                "SELECT d.run_id, r.mode, r.opened_at, d.reasons, d.notes, d.arm, d.sealed"
                " FROM decision d JOIN run r ON r.run_id = d.run_id AND r.campaign = :campaign"
                " WHERE d.patient = :patient AND d.campaign_date = :day ORDER BY r.opened_at"
            ),
            {"campaign": run.campaign.slug, "patient": patient, "day": run.day},
        ).all()
    return [
        Kept(
            row.run_id,
            row.mode,
            row.opened_at,
            row.reasons,
            row.notes,
            row.arm,
            decisions.opened(run.keyring.month_key(run.day), row.run_id, patient, row.sealed)
            if row.sealed
            else {},
        )
        for row in found
    ]


def _today(run: Run, patient_key: str, subject: Mapping[str, Any]) -> Today:
    """`subject` names the appointment or prescription that was decided about, where one was."""
    statement = load_sql(run.settings.home, "extract/why.sql")
    parameters = {
        **asking(run),
        "patient_key": patient_key,
        "appointment_key": subject.get("appointment_key"),
        "medication_key": subject.get("medication_key"),
    }
    with run.warehouse.connect() as connection:
        row = connection.execute(text(statement), parameters).first()
    if row is None:
        return Today(False, None, None, 0, (), {})
    return Today(
        row.known,
        row.last_visit_at,
        row.next_appointment_at,
        row.prescriptions,
        row.reasons,
        row.evidence,
    )


def _letters(run: Run, patient_key: str) -> list[tuple[str, str | None]]:
    with run.store.connect() as connection:
        found = connection.execute(
            text(
                "SELECT state, reason FROM letter WHERE campaign = :campaign"
                " AND patient = :patient AND campaign_date = :day ORDER BY composed_at"
            ),
            {
                "campaign": run.campaign.slug,
                "patient": run.pseudonym(patient_key),
                "day": run.day,
            },
        ).all()
    return [(row.state, row.reason) for row in found]


def _refusals(run: Run, patient_key: str) -> list[Told]:
    with run.store.connect() as connection:
        found = connection.execute(
            text(
                "SELECT 'revocation' AS kind, purpose AS scope, revoked_at AS at, channel"
                " FROM revocation WHERE patient = :patient"
                " UNION ALL SELECT 'opt-out', campaign, at, channel"
                " FROM opt_out WHERE patient = :patient ORDER BY at"
            ),
            {"patient": run.pseudonym(patient_key)},
        ).all()
    return [Told(row.kind, row.scope, row.at, row.channel) for row in found]
