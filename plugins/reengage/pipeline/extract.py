"""Extract: every candidate gets one decision, the eligible a sealed row with the declared fields.

One statement in the warehouse, as of the campaign's day, in one read-only snapshot together with
the population counts. Its SELECT list is written from the campaign's declaration (PRV-18, PRV-19):
a column that no field names is not read, and of an excluded patient no field is read at all. What
only our own store knows (opt-outs, suppressed addresses, letters of earlier days) is added here.
Running it again replaces the batch; letters that were composed from it but never claimed go too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from reengage import staging
from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.pipeline.run import Run
from reengage.sql import load_sql

ENVELOPE = (
    "patient_key",
    "recipient",
    "language",
    "time_zone",
    "period_key",
    "authorization_key",
    "expires_at",
)
"""Columns of every staged row besides the campaign's own: how to address it, not what to say."""

# View of a declared field -> the audience's column that names its row.
_KEYS = {"patient": "patient_key", "appointment": "appointment_key", "medication": "medication_key"}


@dataclass(frozen=True)
class Extracted:
    """Counts of the day: patients."""

    living: int
    inactive: int
    candidates: int
    eligible: int
    parts: int


def extract(run: Run) -> Extracted:
    """Decide every candidate of the day and stage the eligible. Repeating it replaces the batch."""
    key = run.data_key
    with run.warehouse.connect() as source, run.store.begin() as sink:
        source.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        population = source.execute(
            text(load_sql(run.settings.home, "extract/population.sql")), cohort_parameters(run)
        ).one()
        _forget(sink, run)
        candidates = eligible = parts = 0
        for rows in _candidates(source, run):
            decided = _decide(sink, run, rows)
            staged = [one.row for one in decided if not one.reasons and not one.done]
            candidates += len(rows)
            eligible += sum(not one.reasons for one in decided)
            if staged:
                staging.write_part(sink, key, parts, staged)
                parts += 1
        counts = Extracted(population.living, population.inactive, candidates, eligible, parts)
        _record(sink, run, counts)
    return counts


def candidate_statement(campaign: Campaign, contract: Contract, home: Path) -> str:
    """The campaign's statement: shared cohort and standing, its audience, its declared fields."""
    sources = campaign.sources()
    views = sorted({source.split(".")[0] for source in sources})
    fields = [f'"{s.split(".")[0]}"."{contract.column(s).name}" AS "{s}"' for s in sources]
    joins = [
        f'LEFT JOIN contract."{view}" AS "{view}"'
        f' ON "{view}"."{_KEYS[view]}" = audience."{_KEYS[view]}"'
        " AND cardinality(standing.reasons) = 0"
        for view in views
    ]
    return "\n".join(
        [
            "WITH",
            load_sql(home, "extract/parts/cohort.sql"),
            ", audience AS (",
            load_sql(home, f"extract/{campaign.audience}"),
            ")",
            ", asked AS (SELECT patient_key, medication_key FROM audience),",
            load_sql(home, "extract/parts/standing.sql"),
            load_sql(home, "extract/parts/envelope.sql"),
            "".join(f", {field}" for field in fields),
            "FROM audience JOIN standing ON standing.patient_key = audience.patient_key",
            *joins,
            "ORDER BY audience.patient_key",
        ]
    )


def _candidates(source: Connection, run: Run) -> Iterator[list[staging.Row]]:
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    result = source.execution_options(yield_per=staging.PART_PATIENTS).execute(
        text(statement), cohort_parameters(run)
    )
    for rows in result.mappings().partitions():
        yield [dict(row) for row in rows]


def cohort_parameters(run: Run) -> dict[str, object]:
    """Bind parameters of the statements about the day's cohort, here and in the gate."""
    return {
        "as_of": run.day,
        "zone": run.campaign.time_zone,
        "inactive_days": run.campaign.inactive_days,
        "slug": run.campaign.slug,
        "consent_purposes": consent_purposes(run.campaign),
    }


def consent_purposes(campaign: Campaign) -> list[str]:
    """Which authorizations must be on file, the one to cite first (PRV-08)."""
    return ["marketing", "email"] if campaign.purpose == "marketing" else ["email"]


@dataclass(frozen=True)
class _Decided:
    row: staging.Row
    patient: str
    reasons: list[str]
    done: bool  # a letter of this very day exists: nothing to compose


def _decide(sink: Connection, run: Run, rows: list[staging.Row]) -> list[_Decided]:
    """One decision per row: the warehouse's reasons, then our own store's."""
    prepared = [_prepared(run, row) for row in rows]
    known = _own_standing(sink, run, prepared)
    decided = []
    for row, patient, reasons in prepared:
        own, done = known[patient]
        # The day's decision stands once its letter exists; the claim's last look covers the rest.
        decided.append(_Decided(row, patient, [] if done else reasons + own, done))
    sink.execute(
        text(
            "INSERT INTO decision (run_id, patient, reasons, arm)"
            " VALUES (:run_id, :patient, :reasons, :arm)"
        ),
        [
            {
                "run_id": run.run_id,
                "patient": one.patient,
                "reasons": one.reasons,
                "arm": None if one.reasons else "write",
            }
            for one in decided
        ],
    )
    return decided


def _prepared(run: Run, found: staging.Row) -> tuple[staging.Row, str, list[str]]:
    """The row as it is staged, the patient's pseudonym, and the warehouse's reasons."""
    row = dict(found)
    reasons = list(row.pop("reasons"))
    campaign = run.campaign
    patient = run.pseudonym(row["patient_key"])
    if row["language"] not in campaign.languages:
        row["language"] = campaign.languages[0]
    row["time_zone"] = row["time_zone"] or campaign.time_zone
    row["period_key"] = run.keyring.pseudonym("period", row["period_key"] or calendar_period(run))
    row["expires_at"] = row["expires_at"] or _valid_until(run)
    return row, patient, reasons


def _own_standing(
    sink: Connection, run: Run, prepared: list[tuple[staging.Row, str, list[str]]]
) -> dict[str, tuple[list[str], bool]]:
    found = sink.execute(
        text(load_sql(run.settings.home, "outbox/standing.sql")),
        {
            "patients": [patient for _, patient, _ in prepared],
            "periods": [row["period_key"] for row, _, _ in prepared],
            "recipients": [recipient_pseudonym(run, row["recipient"]) for row, _, _ in prepared],
            "campaign": run.campaign.slug,
            "day": run.day,
            "cap_days": run.campaign.caps.days_between_letters,
        },
    )
    live = run.mode == "live"
    return {one.patient: (list(one.reasons), one.done and live) for one in found}


def recipient_pseudonym(run: Run, address: str | None) -> str:
    """What an address is called in the suppression list: keyed, case-folded."""
    return run.keyring.pseudonym("recipient", (address or "").casefold())


def calendar_period(run: Run) -> str:
    """The calendar span that the campaign writes once in, e.g. `2026-Q4`."""
    day = run.day
    return {
        "month": f"{day:%Y-%m}",
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "year": f"{day.year}",
    }.get(run.campaign.period, f"{day:%Y-%m-%d}")


def _valid_until(run: Run) -> datetime:
    end = run.day + timedelta(days=run.campaign.letter_valid_days)
    return datetime.combine(end, time(), ZoneInfo(run.campaign.time_zone))


def _forget(sink: Connection, run: Run) -> None:
    """Undo an earlier extraction, except for letters that were claimed since."""
    of_run = {"run_id": run.run_id}
    sink.execute(text("DELETE FROM letter WHERE run_id = :run_id AND state = 'composed'"), of_run)
    if run.mode == "live":
        # What an earlier run composed and did not check is a draft, not a letter: decided anew.
        sink.execute(
            text(
                "DELETE FROM letter WHERE campaign = :campaign AND rehearsal IS NULL"
                " AND state = 'composed' AND checked_at IS NULL"
            ),
            {"campaign": run.campaign.slug},
        )
    sink.execute(text("DELETE FROM decision WHERE run_id = :run_id"), of_run)
    staging.clear_batch(sink, run.run_id)


def _record(sink: Connection, run: Run, counts: Extracted) -> None:
    sink.execute(
        text(
            "UPDATE run SET living = :living, inactive = :inactive, candidates = :candidates,"
            " gate = NULL, verdicts = NULL, extracted_at = now() WHERE run_id = :run_id"
        ),
        {
            "run_id": run.run_id,
            "living": counts.living,
            "inactive": counts.inactive,
            "candidates": counts.candidates,
        },
    )
