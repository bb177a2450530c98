"""Tail: the newest entries, each in a line that a person can read.

Only what entries hold by design: pseudonyms, ids, codes and counts (LOG-09).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger.entry import parse

_SHOWN = 8
"""Characters of a pseudonym or digest that tell two apart."""


@dataclass(frozen=True)
class Told:
    """An entry."""

    index: int
    kind: str
    recorded_at: str
    line: str
    content: bytes = field(repr=False)


def tail(
    connection: Connection, count: int, *, kind: str | None = None, after: int = -1
) -> list[Told]:
    """The newest entries of the kind, or of all, that come after an index: the oldest first."""
    found = connection.execute(
        text(
            "SELECT index, entry FROM (SELECT index, entry FROM ledger_entry WHERE index > :after"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind) ORDER BY index DESC LIMIT :count)"
            " AS newest ORDER BY index"
        ),
        {"after": after, "kind": kind, "count": count},
    ).all()
    return [told(index, bytes(content)) for index, content in found]


def told(index: int, content: bytes) -> Told:
    """An entry's bytes in a line; one that cannot be read says so."""
    try:
        entry = parse(content)
        line = _LINES[entry.kind](entry.body)
    except (LedgerError, KeyError, TypeError, AttributeError, ValueError):
        return Told(index, "?", "", "cannot be read; run `ledger verify`", content)
    back = "the clock ran backwards; " if entry.back else ""
    # What a terminal would act on is no more than a mark.
    shown = "".join(c if c.isprintable() else "\ufffd" for c in back + line)
    return Told(index, entry.kind, entry.recorded_at, shown, content)


def _run_event(body: Mapping[str, Any]) -> str:
    return f"{body['eventType']} {body['job']['name']}, run {body['run']['runId']}"


def _intent(body: Mapping[str, Any]) -> str:
    return (
        f"{len(body['letters'])} letters of {body['campaign']} about to be offered to"
        f" {body['vendor']} under {body['baa_id']}, run {body['run']}"
    )


def _disclosure(body: Mapping[str, Any]) -> str:
    why = f" ({body['reason']})" if body["reason"] else ""
    return (
        f"{body['outcome']}{why}: letter {body['letter'][:_SHOWN]} of {body['campaign']} to patient"
        f" {body['patient'][:_SHOWN]}, {_listed(body['fields'])}"
    )


def _access(body: Mapping[str, Any]) -> str:
    said = {
        name: value[:_SHOWN] if name == "patient" else value
        for name, value in body["detail"].items()
        if name != "pseudonym_key"
    }
    detail = ", ".join(
        f"{name} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in said.items()
        if value is not None
    )
    return f"{body['actor']} {body['action']} {body['of']}" + (f": {detail}" if detail else "")


def _configuration(body: Mapping[str, Any]) -> str:
    new, old = body["sha256"], body["previous"]
    what = (
        "gone" if new is None else f"now {new[:_SHOWN]}" + (f", was {old[:_SHOWN]}" if old else "")
    )
    by = body["changed_by"]
    who = by.get("name") or by.get("actor") or "unknown"
    return f"{body['name']} is {what}, changed by {who}"


def _checkpoint(body: Mapping[str, Any]) -> str:
    return f"signed over {int(body['note'].splitlines()[1]):,} entries"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no field"


_LINES = {
    "run_event": _run_event,
    "intent": _intent,
    "disclosure": _disclosure,
    "access": _access,
    "configuration": _configuration,
    "checkpoint": _checkpoint,
}
