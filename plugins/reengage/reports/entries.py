"""Entries: the ledger by kind, by what it is looked up by, and by time, a page at a time.

The table has no column for time; indices rise with it, so an instant is found by halving. The text
of an entry is `ledger.tail`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger.canonical import instant
from reengage.ledger.entry import parse
from reengage.ledger.records import KINDS
from reengage.ledger.tail import Told, told
from reengage.reports.runs import RunRow

PAGE = 50
_BEFORE = timedelta(minutes=1)
"""By how much a run's first event may precede its row in the store."""


@dataclass(frozen=True)
class Asked:
    """A filter. Days are whole, in UTC; `below` is where the page before ended."""

    kind: str | None = None
    subject: str | None = None
    first: datetime | None = None
    end: datetime | None = None
    below: int | None = None


def size(connection: Connection) -> int:
    """How many entries there are."""
    found: int = connection.execute(text("SELECT size FROM ledger_head")).scalar_one()
    return found


def by_kind(connection: Connection, size: int) -> list[tuple[str, int]]:
    """How many of each kind. Disclosures, nearly all of them, are what is left of the others."""
    found = connection.execute(
        text("SELECT kind, count(*) FROM ledger_entry WHERE kind <> 'disclosure' GROUP BY kind")
    )
    counts = {kind: int(many) for kind, many in found}
    counts["disclosure"] = size - sum(counts.values())
    return [(kind, counts.get(kind, 0)) for kind in KINDS]


def first_at(connection: Connection, at: datetime) -> int:
    """Index of the first entry that was recorded at this instant or later; the size if none was.

    Where the clock ran backwards, as entries then say, one of the places where it passed.
    """
    sought = instant(at)
    low, high = 0, size(connection)
    while low < high:
        middle = (low + high) // 2
        if _recorded_at(connection, middle) < sought:
            low = middle + 1
        else:
            high = middle
    return low


def _recorded_at(connection: Connection, index: int) -> str:
    row = connection.execute(
        text("SELECT entry FROM ledger_entry WHERE index = :index"), {"index": index}
    ).one_or_none()
    if row is None:
        raise LedgerError(f"entry {index} is missing; run `python -m reengage ledger verify`")
    return parse(bytes(row.entry)).recorded_at


def page_of(connection: Connection, asked: Asked, most: int = PAGE) -> list[Told]:
    """The newest entries of the filter, the newest first, and one more if there are more."""
    low = first_at(connection, asked.first) if asked.first else 0
    high = first_at(connection, asked.end) if asked.end else size(connection)
    if asked.below is not None:
        high = min(high, asked.below)
    found = connection.execute(
        text(
            "SELECT index, entry FROM ledger_entry WHERE index >= :low AND index < :high"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
            " AND (CAST(:subject AS text) IS NULL OR subject = :subject)"
            " ORDER BY index DESC LIMIT :most"
        ),
        {"low": low, "high": high, "kind": asked.kind, "subject": asked.subject, "most": most + 1},
    )
    return [told(index, bytes(content)) for index, content in found]


def has_subject(connection: Connection, subject: str) -> bool:
    """Whether there is an access record of this actor."""
    return bool(
        connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM ledger_entry WHERE kind = 'access'"
                " AND subject = :subject)"
            ),
            {"subject": subject},
        ).scalar_one()
    )


def body_of(shown: Told) -> Mapping[str, Any]:
    """What the entry says; empty where it cannot be read."""
    try:
        return parse(shown.content).body
    except LedgerError:
        return {}


def pretty(content: bytes) -> str:
    """The entry's JSON, indented for a person."""
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except ValueError:
        return "these bytes are no JSON; run `python -m reengage ledger verify`"


@dataclass(frozen=True)
class Event:
    """A run event of one of a run's tasks."""

    index: int
    at: str
    kind: str
    task: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    columns: int
    """Columns whose way is described."""
    error: str | None


@dataclass(frozen=True)
class Stretch:
    """A run's part of the ledger."""

    first: int
    last: int
    events: list[Event]


def stretch(connection: Connection, row: RunRow) -> Stretch | None:
    """Where the run's entries lie, and its events; None where the ledger has none of it."""
    following = connection.execute(
        text("SELECT min(opened_at) FROM run WHERE campaign = :c AND opened_at > :at"),
        {"c": row.campaign, "at": row.opened_at},
    ).scalar_one()
    low = first_at(connection, row.opened_at - _BEFORE)
    high = first_at(connection, following - _BEFORE) if following else size(connection)
    found = connection.execute(
        text(
            "SELECT index, entry FROM ledger_entry WHERE kind = 'run_event' AND index >= :low"
            " AND index < :high ORDER BY index"
        ),
        {"low": low, "high": high},
    )
    events = []
    for index, content in found:
        entry = parse(bytes(content))
        job = str(entry.body["job"]["name"])
        if job.startswith(f"{row.dag_id}."):
            events.append(_event(index, entry.recorded_at, job, entry.body))
    return Stretch(events[0].index, events[-1].index, events) if events else None


def _event(index: int, at: str, job: str, body: Mapping[str, Any]) -> Event:
    facets = [one.get("facets", {}) for one in body.get("outputs", ())]
    columns = sum(len(one.get("columnLineage", {}).get("fields", {})) for one in facets)
    error = body["run"].get("facets", {}).get("errorMessage", {}).get("message")
    return Event(
        index,
        at,
        str(body["eventType"]),
        job.partition(".")[2],
        tuple(str(one["name"]) for one in body.get("inputs", ())),
        tuple(str(one["name"]) for one in body.get("outputs", ())),
        columns,
        error,
    )


def utc(value: str) -> datetime:
    """A recorded instant."""
    return datetime.fromisoformat(value).astimezone(UTC)
