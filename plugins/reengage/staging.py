"""Staging: a run's batch of eligible patients, in sealed parts in the store.

A part holds up to `PART_PATIENTS` rows as JSON under the run's data key, bound to its number, so
that parts can neither be read nor swapped. Replacing a batch replaces all of it, in the caller's
transaction. Rows are plain dictionaries: the envelope columns and the campaign's source columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.keys import DataKey

PART_PATIENTS = 500
"""Rows per part; one part is the least that a mapped task works on."""

Row = dict[str, Any]


def clear_batch(connection: Connection, run_id: UUID) -> None:
    """Forget the run's batch, before it is staged afresh."""
    connection.execute(text("DELETE FROM batch_part WHERE run_id = :run_id"), {"run_id": run_id})


def write_part(connection: Connection, key: DataKey, part: int, rows: list[Row]) -> None:
    """Seal `rows` as part number `part` of the run's batch."""
    content = json.dumps(rows, default=_tagged, ensure_ascii=False, separators=(",", ":"))
    connection.execute(
        text(
            "INSERT INTO batch_part (run_id, part, patients, sealed)"
            " VALUES (:run_id, :part, :patients, :sealed)"
        ),
        {
            "run_id": key.run_id,
            "part": part,
            "patients": len(rows),
            "sealed": key.seal(content.encode(), bound_to=f"batch/{part}"),
        },
    )


def read_parts(connection: Connection, key: DataKey, parts: Iterable[int]) -> Iterator[list[Row]]:
    """The rows of each named part, opened one at a time.

    Raises StoreError when a part is not there, KeyringError when it does not open.
    """
    for part in parts:
        sealed = connection.execute(
            text("SELECT sealed FROM batch_part WHERE run_id = :run_id AND part = :part"),
            {"run_id": key.run_id, "part": part},
        ).scalar_one_or_none()
        if sealed is None:
            raise StoreError(
                f"part {part} of the batch of run {key.run_id} is not in the store; clear `extract`"
            )
        yield json.loads(key.open(sealed, bound_to=f"batch/{part}"), object_hook=_untagged)


def part_numbers(connection: Connection, run_id: UUID) -> list[int]:
    """Numbers of the run's parts, in order."""
    found = connection.execute(
        text("SELECT part FROM batch_part WHERE run_id = :run_id ORDER BY part"),
        {"run_id": run_id},
    )
    return list(found.scalars())


def _tagged(value: object) -> dict[str, str]:
    # datetime first: it is a date, too.
    if isinstance(value, datetime):
        return {"$instant": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    raise TypeError(f"a batch cannot hold a {type(value).__name__}")


def _untagged(found: Mapping[str, Any]) -> Any:
    if "$instant" in found:
        return datetime.fromisoformat(found["$instant"])
    if "$date" in found:
        return date.fromisoformat(found["$date"])
    return found
