"""Extract: every candidate gets one decision, the eligible a sealed row with the declared fields.

One statement in the warehouse, as of the campaign's day, in one read-only snapshot together with
the population counts. Its SELECT list is written from the campaign's declaration (PRV-18, PRV-19):
a column that no field names is not read, and of an excluded patient no field is read at all. What
only our own store knows (opt-outs, suppressed addresses, letters of earlier days) is added here.
Running it again replaces the batch; letters that were composed from it but never claimed go too.
Refuses a warehouse that lacks a view, and one that tells of a patient twice; a time zone that does
not exist is counted, and the campaign's takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from reengage import staging
from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.errors import ConfigurationError, SourceDataError, StoreError
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
    unknown_time_zones: int = 0
    """Eligible patients whose time zone in the warehouse is none; the campaign's is used."""


def extract(run: Run) -> Extracted:
    """Decide every candidate of the day and stage the eligible. Repeating it replaces the batch.

    Raises SourceDataError when the warehouse does not keep the contract, StoreError when it does
    not answer; an earlier batch then stays as it was.
    """
    key = run.data_key
    with _connected(run) as source, run.store.begin() as sink:
        living, inactive = _population(source, run)
        _forget(sink, run)
        candidates = eligible = parts = foreign = 0
        for rows in _candidates(source, run):
            decided = _decide(sink, run, rows)
            staged = [one.row for one in decided if not one.reasons and not one.done]
            candidates += len(rows)
            eligible += sum(not one.reasons for one in decided)
            foreign += sum(not _is_zone(row["time_zone"]) for row in rows if row["time_zone"])
            if staged:
                staging.write_part(sink, key, parts, staged)
                parts += 1
        kept = _keep_decided(sink, run)
        counts = Extracted(living, inactive, candidates + kept, eligible + kept, parts, foreign)
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


def _connected(run: Run) -> Connection:
    with _answering():
        return run.warehouse.connect()


@contextmanager
def _answering() -> Iterator[None]:
    """What the warehouse may fail with, in words; a driver's own text may quote a row."""
    try:
        yield
    except OperationalError:
        raise StoreError(
            "the warehouse does not answer; see that it runs and that REENGAGE_WAREHOUSE_URL leads"
            " to it, then clear `extract`"
        ) from None
    except ProgrammingError as error:
        raise SourceDataError(
            f"the warehouse refuses the extraction ({type(error.orig).__name__}): a view or column"
            " of the contract is missing, has another type or may not be read;"
            " `python -m reengage warehouse check` says which"
        ) from None


def _population(source: Connection, run: Run) -> tuple[int, int]:
    """How many are living and inactive; opens the snapshot that the candidates are read in, too."""
    with _answering():
        source.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        statement = load_sql(run.settings.home, "extract/population.sql")
        found = source.execute(text(statement), cohort_parameters(run)).one()
    return found.living, found.inactive


def _candidates(source: Connection, run: Run) -> Iterator[list[staging.Row]]:
    """The candidates by the patient's key, part by part. Refuses one who comes twice."""
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    last = None
    with _answering():
        result = source.execution_options(yield_per=staging.PART_PATIENTS).execute(
            text(statement), cohort_parameters(run)
        )
        # The size once more: the mappings of a result forget its yield_per, and give all at once.
        for rows in result.mappings().partitions(staging.PART_PATIENTS):
            for row in rows:
                if row["patient_key"] == last:
                    raise _twice(source, run)
                last = row["patient_key"]
            yield [dict(row) for row in rows]


def _twice(source: Connection, run: Run) -> SourceDataError | ConfigurationError:
    """The error for a candidate with two rows, naming the view that is at fault."""
    for view, key in {"contact": "patient_key", **_KEYS}.items():
        repeated = source.execute(
            text(f"SELECT count({key}) - count(DISTINCT {key}) FROM contract.{view}")  # noqa: S608
        ).scalar_one()
        if repeated:
            return SourceDataError(
                f"contract.{view} has {repeated} rows too many: {key} must be there once, and a"
                " candidate of this campaign has it twice; mend the view, and look at the others"
                " with `python -m reengage warehouse check`"
            )
    return ConfigurationError(
        f"sql/extract/{run.campaign.audience} gives a patient twice; make it one row each"
    )


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
        against = [] if done else list(dict.fromkeys(reasons + own))
        decided.append(_Decided(row, patient, against, done))
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
    if not _is_zone(row["time_zone"] or ""):
        row["time_zone"] = campaign.time_zone
    row["period_key"] = run.keyring.pseudonym("period", row["period_key"] or calendar_period(run))
    row["expires_at"] = row["expires_at"] or _valid_until(run)
    return row, patient, reasons


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone; no name of one; a directory of zones
        return False
    return True


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


def _keep_decided(sink: Connection, run: Run) -> int:
    """Decide again for those who have a letter of this day and are no candidates any more.

    Where the warehouse was loaded between two runs of a day, the letters of the first would
    otherwise be nobody's, and the day's numbers would not add up.
    """
    if run.mode != "live":
        return 0
    return sink.execute(
        text(
            "INSERT INTO decision (run_id, patient, reasons, arm)"
            " SELECT DISTINCT CAST(:run_id AS uuid), patient, CAST('{}' AS text[]), 'write'"
            " FROM letter WHERE campaign = :campaign AND campaign_date = :day AND rehearsal IS NULL"
            " ON CONFLICT DO NOTHING"
        ),
        {"run_id": run.run_id, "campaign": run.campaign.slug, "day": run.day},
    ).rowcount


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
