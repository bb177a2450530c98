"""Extract: every candidate gets one decision, the eligible a sealed row with the declared fields.

One statement in the warehouse, as of the campaign's day, in one read-only snapshot together with
the population counts. Its SELECT list is written from the campaign's declaration (PRV-18, PRV-19):
a column that no field names is not read, and of an excluded patient no field is read at all; what
only our own store knows is added by `decide`.
Running it again replaces the batch; letters that were composed from it but never claimed go too.
Refuses a warehouse that lacks a view, and one that tells of a patient twice; a time zone that does
not exist is counted, and the campaign's takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from reengage import staging
from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.errors import ConfigurationError, SourceDataError, StoreError
from reengage.pipeline.decide import decide, is_zone, keep_decided
from reengage.pipeline.run import Run
from reengage.sql import load_sql

ENVELOPE = (
    "patient_key",
    "recipient",
    "language",
    "time_zone",
    "period_key",
    "authorization_key",
    "appointment_key",
    "medication_key",
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
            decided = decide(sink, run, rows)
            staged = [one.row for one in decided if not one.reasons and not one.done]
            candidates += len(rows)
            eligible += sum(not one.reasons for one in decided)
            foreign += sum(not is_zone(row["time_zone"]) for row in rows if row["time_zone"])
            if staged:
                staging.write_part(sink, key, parts, staged)
                parts += 1
        kept = keep_decided(sink, run)
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


def _forget(sink: Connection, run: Run) -> None:
    """Undo an earlier extraction, except for letters that were claimed since."""
    of_run = {"run_id": run.run_id}
    # Its own, not those that another run has taken over, nor real ones where it is a replay by now.
    sink.execute(
        text(
            "DELETE FROM letter WHERE run_id = :run_id AND state = 'composed'"
            " AND sender_run_id = :run_id"
            " AND rehearsal IS NOT DISTINCT FROM CAST(:rehearsal AS uuid)"
        ),
        of_run | {"rehearsal": run.rehearsal},
    )
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
            # The mode again: a live run that is cleared on a later day goes on as a replay.
            "UPDATE run SET mode = :mode,"
            " living = :living, inactive = :inactive, candidates = :candidates,"
            " gate = NULL, verdicts = NULL, extracted_at = now() WHERE run_id = :run_id"
        ),
        {
            "run_id": run.run_id,
            "mode": run.mode,
            "living": counts.living,
            "inactive": counts.inactive,
            "candidates": counts.candidates,
        },
    )
