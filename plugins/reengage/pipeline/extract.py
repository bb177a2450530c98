"""Extract: every candidate gets one decision, the eligible a sealed row with the declared fields.

One statement in the warehouse, as of the campaign's day, in one read-only snapshot together with
the population counts. Its SELECT list is written from the campaign's declaration (PRV-18, PRV-19):
a column that no field names is not read, and of an excluded patient no field is read at all; what
only our own store knows is added by `decide`.
What is odd about the data excludes one patient, or is noted, and stops nobody else.
Running it again replaces the batch; letters that were composed from it but never claimed go too.
Refuses a warehouse that lacks a view, and one that tells of a patient twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from reengage import staging
from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.database import read_whole
from reengage.errors import ConfigurationError, SourceDataError, StoreError
from reengage.pipeline.asking import asking
from reengage.pipeline.decide import decide, keep_decided
from reengage.pipeline.facts import decided as decided_facts
from reengage.pipeline.population import counting
from reengage.pipeline.remember import remember_warehouse
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete
from reengage.sql import load_sql

_OF_THE_TEXT = {"42601", "42702", "42703", "42803", "42P01"}
"""SQLSTATE of what is wrong with a statement's text: its syntax, a column, grouping, a table."""
ENVELOPE = (
    "patient_key",
    "recipient",
    "certificate",
    "reads_authenticated",
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


def extract(run: Run) -> Extracted:
    """Decide every candidate of the day and stage the eligible. Repeating it replaces the batch.

    Raises SourceDataError when the warehouse does not keep the contract, StoreError when it does
    not answer; an earlier batch then stays as it was.
    """
    key = run.data_key
    with _connected(run) as source, run.store.begin() as sink, ExitStack() as stack:
        with _answering(run):
            counted = stack.enter_context(counting(source, run))
            remember_warehouse(source, run)
        _forget(sink, run)
        asked = allowed = eligible = parts = patients = 0
        columns: set[str] = set()
        for rows in _candidates(source, run):
            asked += len(rows)
            allowed += sum(not row["reasons"] for row in rows)
            decided = decide(sink, run, rows)
            eligible += sum(not one.reasons for one in decided)
            staged = [one.row for one in decided if not one.reasons and not one.done]
            if staged:
                columns |= set(staged[0])
                staging.write_part(sink, key, parts, staged)
                parts += 1
                patients += len(staged)
        kept = keep_decided(sink, run)
        with _answering(run):
            living, inactive = counted()
        counts = Extracted(living, inactive, asked + kept, eligible + kept, parts)
        loaded_at = source.execute(text("SELECT max(loaded_at) FROM contract.load")).scalar()
        seen = {"asked": asked, "allowed": allowed, "loaded_at": loaded_at}
        _record(sink, run, counts, seen)
        said = decided_facts(sink, run, run.campaign.sources(), columns)
        complete(sink, run, facets=said, rows={"batch": patients, "decision": counts.candidates})
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
            ",",
            load_sql(home, "extract/parts/standing.sql"),
            load_sql(home, "extract/parts/envelope.sql"),
            "".join(f", {field}" for field in fields),
            "FROM audience JOIN standing ON standing.patient_key = audience.patient_key",
            *joins,
            "ORDER BY audience.patient_key",
        ]
    )


def _connected(run: Run) -> Connection:
    with _answering(run):
        return run.warehouse.connect()


@contextmanager
def _answering(run: Run) -> Iterator[None]:
    """What the warehouse may fail with, in words; a driver's own text may quote a row."""
    try:
        yield
    except OperationalError:
        raise StoreError(
            "the warehouse does not answer; see that it runs and that REENGAGE_WAREHOUSE_URL leads"
            " to it, then clear `extract`",
            countless=True,
        ) from None
    except ProgrammingError as error:
        raise SourceDataError(
            f"the warehouse refuses the extraction ({_said(error)}): mend"
            f" sql/extract/{run.campaign.audience} where the fault is in it; else a view or column"
            " of the contract is missing, has another type or may not be read, and"
            " `python -m reengage warehouse check` says which"
        ) from None


def _said(error: ProgrammingError) -> str:
    """What a statement is refused for; in words where they can tell of its own text only.

    Of these faults PostgreSQL knows before it reads a row, and values come as parameters: it names
    a word of the SQL, or a column that it lacks.
    """
    kind = type(error.orig).__name__
    if getattr(error.orig, "sqlstate", None) not in _OF_THE_TEXT:
        return kind
    diagnosis: Any = getattr(error.orig, "diag", None)
    return f"{kind}: {diagnosis.message_primary}" if diagnosis else kind


def _candidates(source: Connection, run: Run) -> Iterator[list[staging.Row]]:
    """The candidates by the patient's key, part by part. Refuses one who comes twice."""
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    last = None
    with _answering(run):
        read_whole(source)
        result = source.execution_options(yield_per=staging.PART_PATIENTS).execute(
            text(statement), asking(run)
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


def _record(sink: Connection, run: Run, counts: Extracted, seen: Mapping[str, object]) -> None:
    sink.execute(
        text(
            # The mode again: a live run that is cleared on a later day goes on as a replay.
            "UPDATE run SET mode = :mode,"
            " living = :living, inactive = :inactive, candidates = :candidates,"
            " asked = :asked, allowed = :allowed, loaded_at = :loaded_at, source_counts = NULL,"
            " gate = NULL, verdicts = NULL, extracted_at = now() WHERE run_id = :run_id"
        ),
        {
            "run_id": run.run_id,
            "mode": run.mode,
            "living": counts.living,
            "inactive": counts.inactive,
            "candidates": counts.candidates,
            **seen,
        },
    )
