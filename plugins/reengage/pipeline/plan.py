"""Plan: draw the holdout, begin the follow-ups, take over open letters of earlier runs, cut chunks.

The holdout is drawn by a keyed hash of campaign and patient: the same patient falls into the same
arm every day, nobody can predict or steer it, and no state is needed. Chunks are the unit of
parallelism and hold sealed parts, never patients; there are at most `MAX_CHUNKS` of them however
large the cohort (Airflow maps tasks over them). Refuses a cohort of an unusual size (cohort.py).
"""

from __future__ import annotations

from math import ceil
from typing import TypedDict

from sqlalchemy import Connection, text

from reengage import staging
from reengage.database import read_whole
from reengage.errors import GateError
from reengage.pipeline import breaker
from reengage.pipeline.attempts import in_use
from reengage.pipeline.cohort import require_usual
from reengage.pipeline.enrol import enrol
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete

MAX_CHUNKS = 32
"""Airflow's scheduler slows down with hundreds of mapped tasks; parts share a chunk beyond this."""
_DRAWN_AT_ONCE = 5000


class Chunk(TypedDict):
    """What a mapped task works on: parts `first` to `last` of the batch, both included."""

    number: int
    first: int
    last: int


def plan(run: Run) -> list[Chunk]:
    """The chunks to write and send; none when there is nobody to write to."""
    with run.store.begin() as connection:
        gate = connection.execute(
            text("SELECT gate FROM run WHERE run_id = :run_id"), {"run_id": run.run_id}
        ).scalar_one()
        if gate != "green":
            raise GateError(
                "the gate has not passed this batch; clear `gate` and look at its log",
                countless=True,
            )
        _draw_holdout(connection, run)
        followed = enrol(connection, run)
        chunks = _chunks(staging.part_numbers(connection, run.run_id))
        open_letters = _take_over(connection, run, len(chunks) or 1) if run.mode == "live" else 0
        breaker.adopt(connection, run, len(chunks) or 1)
        require_usual(connection, run, _due(connection, run))
        complete(connection, run, rows={"followed": followed})
    return chunks or ([Chunk(number=0, first=0, last=-1)] if open_letters else [])


def _chunks(parts: list[int]) -> list[Chunk]:
    size = ceil(len(parts) / MAX_CHUNKS)
    return [
        Chunk(number=number, first=part, last=min(part + size, len(parts)) - 1)
        for number, part in enumerate(range(0, len(parts), size or 1))
    ]


def in_holdout(run: Run, patient: str) -> bool:
    """Whether the patient's draw, uniform in [0, 1), falls below the campaign's holdout share."""
    draw = int(run.keyring.pseudonym(f"holdout/{run.campaign.slug}", patient)[:13], 16) / 16**13
    return draw < run.campaign.holdout_share


def _draw_holdout(connection: Connection, run: Run) -> None:
    """Batch by batch: memory does not grow with the cohort."""
    of = {"run_id": run.run_id, "day": run.day}
    read_whole(connection)
    found = connection.execute(
        text(
            "SELECT patient FROM decision"
            " WHERE run_id = :run_id AND campaign_date = :day AND arm IS NOT NULL"
        ),
        of,
        execution_options={"yield_per": _DRAWN_AT_ONCE},
    ).scalars()
    # The size once more: a result forgets its yield_per, and gives all at once.
    for patients in found.partitions(_DRAWN_AT_ONCE):
        held = [patient for patient in patients if in_holdout(run, patient)]
        connection.execute(
            text(
                "UPDATE decision SET arm = CASE WHEN patient = ANY(CAST(:held AS text[]))"
                " THEN 'holdout' ELSE 'write' END WHERE run_id = :run_id"
                " AND campaign_date = :day AND patient = ANY(CAST(:patients AS text[]))"
            ),
            {**of, "held": held, "patients": list(patients)},
        )


def _due(connection: Connection, run: Run) -> int:
    """Letters that are still to be composed, and those that were taken over."""
    count: int = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM decision d WHERE d.run_id = :run_id AND d.arm = 'write'"
            " AND NOT EXISTS (SELECT 1 FROM letter l WHERE l.patient = d.patient"
            " AND l.campaign = :campaign AND l.campaign_date = :day"
            " AND l.rehearsal IS NOT DISTINCT FROM CAST(:rehearsal AS uuid)))"
            " + (SELECT count(*) FROM letter WHERE sender_run_id = :run_id"
            " AND is_open)"
        ),
        {
            "run_id": run.run_id,
            "campaign": run.campaign.slug,
            "day": run.day,
            "rehearsal": run.rehearsal,
        },
    ).scalar_one()
    return count


def _take_over(connection: Connection, run: Run, chunks: int) -> int:
    """Letters that earlier runs, or an earlier try, left open are this run's to send.

    They are spread over the chunks; its own stay in theirs, where there still is one. A chunk that
    a try is at work on stays with its run.
    """
    left = connection.execute(
        text(
            "SELECT DISTINCT sender_run_id, chunk FROM letter WHERE campaign = :campaign"
            " AND rehearsal IS NULL AND is_open"
        ),
        {"campaign": run.campaign.slug},
    )
    busy = in_use(connection, [(row.sender_run_id, row.chunk) for row in left])
    return connection.execute(
        text(
            "UPDATE letter SET sender_run_id = :run_id, chunk = CASE"
            " WHEN sender_run_id = :run_id AND chunk < :chunks THEN chunk"
            " ELSE (hashtext(CAST(letter_id AS text)) & 2147483647) % :chunks END"
            " WHERE campaign = :campaign AND rehearsal IS NULL AND is_open"
            " AND (sender_run_id, chunk) NOT IN (SELECT * FROM unnest("
            " CAST(:busy_runs AS uuid[]), CAST(:busy_chunks AS int[])))"
        ),
        {
            "run_id": run.run_id,
            "campaign": run.campaign.slug,
            "chunks": chunks,
            "busy_runs": [run_id for run_id, _ in busy],
            "busy_chunks": [chunk for _, chunk in busy],
        },
    ).rowcount
