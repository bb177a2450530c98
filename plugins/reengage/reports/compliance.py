"""Compliance: whether the ledger is sound, its entries one by one, and who looked at what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger import signers
from reengage.ledger.checkpoint import Checkpoint, open_note
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.entry import parse
from reengage.ledger.records import KINDS
from reengage.ledger.tail import Told, told
from reengage.ledger.verify import Verdict, verify
from reengage.reports import entries, exports
from reengage.reports.asked import Asked, begin_of, end_of
from reengage.reports.problems import BadQueryError, ConflictError
from reengage.reports.render import page
from reengage.reports.tables import Badge, Link, Table, table
from reengage.reports.visit import Visit

_SHOWN_CHECKPOINTS = 20
_MOST_EXPORTED = 10_000
_ACTOR = re.compile(r"(airflow|os):[A-Za-z0-9._@+-]{1,80}|[a-z0-9._-]{1,80}")
_VERIFYING_SECONDS = 900
"""A million entries take some ten."""
_verifying = Lock()
"""One verification at a time in a process: each reads the whole ledger."""


@dataclass(frozen=True)
class Standing:
    """What is known of the ledger without reading all of it."""

    size: int
    by_kind: Sequence[tuple[str, int]]
    newest: Checkpoint | None
    signed_at: datetime | None
    """When the newest checkpoint was recorded."""
    uncovered: int
    """Entries that no checkpoint covers yet."""
    audited_at: str | None
    """When the daily audit last ended its verification, and how."""
    audit: str | None
    distrusted: str | None
    """Why a checkpoint is not trusted."""


def compliance(visit: Visit, verdict: Verdict | None = None) -> HTMLResponse:
    """The page: how the ledger stands, and its checkpoints."""
    if verdict is None:
        visit.record()
    with visit.reading() as connection:
        standing = _standing(connection, visit)
        checkpoints = _checkpoints(connection)
    return page(
        visit.request, visit.visitor, "compliance.html", "The ledger",
        here="compliance",
        standing=standing,
        checkpoints=checkpoints,
        verdict=verdict,
        findings=_findings(verdict) if verdict else None,
    )  # fmt: skip


def verify_now(visit: Visit) -> HTMLResponse:
    """Derive the whole ledger again from its bytes, and say what it is worth."""
    visit.record()
    if not _verifying.acquire(blocking=False):
        raise ConflictError("a verification is under way already; come back when it ends")
    try:
        with visit.reading(seconds=_VERIFYING_SECONDS) as connection:
            verdict = verify(
                connection,
                keys=signers.verifiers(visit.keyring.directory),
                checkpoints=Checkpoints(visit.settings.checkpoints_location),
                keyring=visit.keyring,
            )
    finally:
        _verifying.release()
    return compliance(visit, verdict)


def ledger(visit: Visit, asked: Asked) -> HTMLResponse:
    """The entries of a filter, the newest first."""
    wanted, detail = _filter(asked)
    visit.record(detail)
    with visit.reading() as connection:
        found = entries.page_of(connection, wanted)
        whole = entries.size(connection)
    shown, more = found[: entries.PAGE], len(found) > entries.PAGE
    return page(
        visit.request, visit.visitor, "ledger.html", "Entries of the ledger",
        here="ledger",
        kinds=KINDS,
        asked=detail,
        size=whole,
        entries=_entries(shown),
        below=shown[-1].index if more else None,
        most=_MOST_EXPORTED,
    )  # fmt: skip


def ledger_export(visit: Visit, asked: Asked, form: str) -> Response:
    """The same as a file, at most ten thousand entries."""
    if form not in exports.FORMATS:
        raise HTTPException(404)
    wanted, detail = _filter(asked)
    visit.record({**detail, "as": form}, action="exported")
    with visit.reading() as connection:
        found = entries.page_of(connection, wanted, _MOST_EXPORTED)[:_MOST_EXPORTED]
    return exports.download([_entries(found)], form, "ledger", "Entries of the ledger")


def entry(visit: Visit, index: int) -> HTMLResponse:
    """One entry, whole, and whether it is what was hashed."""
    visit.record({"entry": index})
    with visit.reading() as connection:
        row = connection.execute(
            text(
                "SELECT index AS number, leaf, entry,"
                " leaf = sha256('\\x00'::bytea || entry) AS hashed FROM ledger_entry"
                " WHERE index = :index"
            ),
            {"index": index},
        ).one_or_none()
        standing = _standing(connection, visit)
    if row is None:
        raise HTTPException(404)
    shown = told(row.number, bytes(row.entry))
    covered = standing.newest is not None and index < standing.newest.size
    return page(
        visit.request, visit.visitor, "entry.html", f"Entry {index:,}",
        here="ledger",
        entry=shown,
        leaf=bytes(row.leaf).hex(),
        hashed=row.hashed,
        covered=covered,
        standing=standing,
        content=entries.pretty(bytes(row.entry)),
    )  # fmt: skip


def access(visit: Visit, asked: Asked) -> HTMLResponse:
    """Who opened, took out or decided what."""
    actor = asked.text("actor", longest=100)
    if actor and not _ACTOR.fullmatch(actor):
        raise BadQueryError("actor: expected a name as records have it, such as airflow:ada")
    first, last = asked.day("from"), asked.day("to")
    below = asked.number("below")
    with visit.reading() as connection:
        known = actor if actor and entries.has_subject(connection, actor) else None
    # What somebody typed joins the ledger only where it is there already (LOG-09).
    named = known or ("of nobody" if actor else None)
    visit.record({"actor": named, "from": _iso(first), "to": _iso(last)})
    wanted = entries.Asked(
        kind="access", subject=actor, first=begin_of(first), end=end_of(last), below=below
    )
    with visit.reading() as connection:
        found = entries.page_of(connection, wanted)
    shown, more = found[: entries.PAGE], len(found) > entries.PAGE
    return page(
        visit.request, visit.visitor, "access.html", "Access log",
        here="access",
        asked={"actor": actor, "from": _iso(first), "to": _iso(last)},
        entries=_accesses(shown),
        below=shown[-1].index if more else None,
    )  # fmt: skip


def _filter(asked: Asked) -> tuple[entries.Asked, dict[str, Any]]:
    """The filter, and what a record says of it: words of ours, days and ids only."""
    kind, run = asked.one_of("kind", KINDS), asked.uuid("run")
    first, last = asked.day("from"), asked.day("to")
    below = asked.number("below")
    if first and last and first > last:
        raise BadQueryError("from lies after to; exchange them")
    wanted = entries.Asked(
        kind=kind, subject=str(run) if run else None,
        first=begin_of(first), end=end_of(last), below=below,
    )  # fmt: skip
    detail = {"kind": kind, "run": wanted.subject, "from": _iso(first), "to": _iso(last)}
    return wanted, detail


def _iso(day: Any) -> str | None:
    return None if day is None else str(day)


def _entries(found: Sequence[Told]) -> Table:
    return table(
        "entries",
        "Entries",
        [
            ("entry", "Entry", "text"), ("recorded", "Recorded", "instant"),
            ("kind", "Kind", "text"), ("says", "Says", "text"),
        ],
        [
            [Link(f"{one.index:,}", f"compliance/ledger/{one.index}"), one.recorded_at,
             one.kind.replace("_", " "), one.line]
            for one in found
        ],
    )  # fmt: skip


def _accesses(found: Sequence[Told]) -> Table:
    rows = []
    for one in found:
        body = entries.body_of(one)
        said = ", ".join(
            f"{name} {' '.join(value) if isinstance(value, list) else value}"
            for name, value in (body.get("detail") or {}).items()
            if name not in ("patient", "pseudonym_key")
        )
        rows.append(
            [Link(f"{one.index:,}", f"compliance/ledger/{one.index}"), one.recorded_at,
             body.get("actor"), body.get("action"), body.get("of"), said]
        )  # fmt: skip
    return table(
        "access",
        "Access records",
        [
            ("entry", "Entry", "text"), ("recorded", "Recorded", "instant"),
            ("actor", "Who", "text"), ("action", "Did", "text"), ("of", "What", "code"),
            ("detail", "With", "text"),
        ],
        rows,
    )  # fmt: skip


def _standing(connection: Connection, visit: Visit) -> Standing:
    size = entries.size(connection)
    by_kind = entries.by_kind(connection, size) if size < _COUNTED else []
    newest, distrusted = None, None
    notes = Checkpoints(visit.settings.checkpoints_location).all()
    if notes:
        try:
            newest = open_note(notes[-1][1], signers.verifiers(visit.keyring.directory))
        except LedgerError as error:
            distrusted = f"checkpoint {notes[-1][0]} is not trusted: {error}"
    audit = _last_audit(connection)
    return Standing(
        size, by_kind, newest, _signed_at(connection), size - (newest.size if newest else 0),
        *audit, distrusted,
    )  # fmt: skip


_COUNTED = 5_000_000
"""Entries up to which those that are no disclosures are counted: beyond, a page would wait."""


def _signed_at(connection: Connection) -> datetime | None:
    row = connection.execute(
        text("SELECT entry FROM ledger_entry WHERE kind = 'checkpoint' ORDER BY index DESC LIMIT 1")
    ).one_or_none()
    return None if row is None else entries.utc(parse(bytes(row.entry)).recorded_at)


def _last_audit(connection: Connection) -> tuple[str | None, str | None]:
    """When the audit's `verify` last ended, and how. Events of a few days are looked through."""
    found = connection.execute(
        text(
            "SELECT entry FROM ledger_entry WHERE kind = 'run_event' ORDER BY index DESC LIMIT 400"
        )
    )
    for (content,) in found:
        one = parse(bytes(content))
        if one.body["job"]["name"] == "reengage_audit.verify" and one.body["eventType"] in (
            "COMPLETE", "FAIL", "ABORT",
        ):  # fmt: skip
            return one.recorded_at, str(one.body["eventType"])
    return None, None


def _checkpoints(connection: Connection) -> Table:
    found = connection.execute(
        text(
            "SELECT index, entry FROM ledger_entry WHERE kind = 'checkpoint'"
            " ORDER BY index DESC LIMIT :most"
        ),
        {"most": _SHOWN_CHECKPOINTS},
    )
    rows = []
    for index, content in found:
        one = parse(bytes(content))
        lines = str(one.body["note"]).splitlines()
        rows.append(
            [Link(f"{index:,}", f"compliance/ledger/{index}"), one.recorded_at, int(lines[1]),
             lines[2]]
        )  # fmt: skip
    return table(
        "checkpoints",
        "Newest checkpoints",
        [
            ("entry", "Entry", "text"), ("signed", "Signed", "instant"),
            ("size", "Over entries", "count"), ("root", "Root", "code"),
        ],
        rows,
    )  # fmt: skip


def _findings(verdict: Verdict) -> Table:
    return table(
        "findings",
        "Findings",
        [("entry", "Entry", "count"), ("finding", "Finding", "text"), ("so", "", "badge")],
        [
            [one.entry, str(one), Badge("look", "bad")]
            for one in verdict.findings
        ],
        note=f"{verdict.faults:,} in all; docs/runbook.md says what each means and what to do.",
    )  # fmt: skip
