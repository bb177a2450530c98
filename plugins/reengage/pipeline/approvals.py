"""Approvals: what a person has looked at, by digest; a live run works by nothing else (PRV-09).

A campaign's file, its templates, its suites and the SQL of extraction, gate and claim are compared
with the decisions in the store whenever a task of a live run begins: what nobody approved in
exactly this state is asked about by preflight and refused by every later task, so that neither a
file that was changed in the middle of a run nor a task that was set to success by hand gets round
it. Going back to a state that was approved once needs no other approval. A dry run and a replay
reach nobody and need none: they are how one looks at a change. Each decision is a row that is never
changed and a record of the ledger, with who, why and the digest, in one transaction (SEC-15).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from reengage import store
from reengage.campaigns import Campaign
from reengage.errors import RefusedError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.configuration import author_of, judged_parts
from reengage.pipeline.question import NOBODY, Question, UnapprovedError, listed, patience
from reengage.pipeline.run import Run
from reengage.practice import load_practice
from reengage.settings import Settings

Verdict = Literal["approved", "rejected"]
DIGITS, ROWS = 12, 20
"""Of a digest, and of things, that a question has room for."""
WORKS_BY = {
    "preflight": ("",),
    "extract": ("campaign/", "jurisdictions", "sql/"),
    "gate": ("campaign/", "jurisdictions", "suite/", "sql/"),
    "plan": ("campaign/", "sql/"),
    "letter": ("campaign/", "template/", "sql/"),
    "check_letters": ("campaign/", "suite/"),
    "send": ("campaign/", "suite/", "sql/"),
}
"""Task -> how the names of what it works by begin."""
# Here and not below sql/, where it would be one of the things that it decides about.
_KNOWN = """
SELECT asked.subject,
       coalesce(here.decision = 'approved', false) AS approved,
       before.sha256 AS last_approved
FROM unnest(CAST(:names AS text[]), CAST(:digests AS text[])) AS asked (subject, sha256)
LEFT JOIN LATERAL (
    SELECT decision FROM approval a
    WHERE a.subject = asked.subject AND a.sha256 = asked.sha256
    ORDER BY number DESC LIMIT 1
) here ON true
LEFT JOIN LATERAL (
    SELECT sha256 FROM approval a
    WHERE a.subject = asked.subject AND a.decision = 'approved'
    ORDER BY number DESC LIMIT 1
) before ON true
"""
"""Side by side, `names` and `digests`: whether the newest decision about each state is a yes, and
which state of each thing was approved last."""


@dataclass(frozen=True)
class Unapproved:
    """A part in a state that nobody has approved."""

    name: str
    sha256: str
    previous: str | None
    """The state that was approved last; None = it is new."""
    path: Path

    def changed_by(self, home: Path) -> str:
        """Who changed it last, as far as git knows."""
        author = author_of(home, self.path)
        if author["source"] != "git":
            return "not committed"
        return f"{author['name']}, {author['commit'][:DIGITS]}".replace("|", "/")


@dataclass(frozen=True)
class Decision:
    """What somebody decided, about exactly what."""

    subject: str
    sha256: str
    verdict: Verdict
    by: str
    reason: str
    run_id: UUID | None
    at: datetime


def unapproved(
    connection: Connection, home: Path, campaigns: Iterable[Campaign], *, portal: bool
) -> list[Unapproved]:
    """What these campaigns would work by and nobody has approved, in the order of the names."""
    parts = {
        name: found
        for campaign in campaigns
        for name, found in judged_parts(home, campaign, portal=portal).items()
    }
    known = _known(connection, {name: sha256 for name, (_, sha256) in parts.items()})
    return [
        Unapproved(name, sha256, known[name][1], path)
        for name, (path, sha256) in sorted(parts.items())
        if not known[name][0]
    ]


def require_approved(run: Run, task: str) -> None:
    """Nothing that `task` works by may be in a state that nobody approved.

    Raises UnapprovedError with what is to be asked; see the module for runs that need nothing.
    """
    starts = WORKS_BY.get(task, ())
    if run.mode != "live" or not starts:
        return
    home, has_portal = run.settings.home, run.practice.portal is not None
    parts = judged_parts(home, run.campaign, portal=has_portal)
    asked = {name: found[1] for name, found in parts.items() if name.startswith(starts)}
    with run.store.connect() as connection:
        known = _known(connection, asked)
        if all(approved for approved, _ in known.values()):
            return
        found = unapproved(connection, home, [run.campaign], portal=has_portal)
    raise UnapprovedError(_question(run, found))


def decide(
    connection: Connection,
    keyring: Keyring,
    things: Mapping[str, str],
    verdict: Verdict,
    *,
    by: str,
    reason: str,
    run_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Record what somebody decided about exactly these things; gives the ledger's index.

    Call it last in the caller's transaction. `reason` names nobody (grounds.tidy).
    """
    rows = [
        {"subject": s, "sha256": d, "verdict": verdict, "by": by, "reason": reason, "run": run_id}
        for s, d in things.items()
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO approval (subject, sha256, decision, decided_by, reason, run_id)"
                " VALUES (:subject, :sha256, :verdict, :by, :reason, :run)"
            ),
            rows,
        )
    said = {"sha256": dict(things), "reason": reason, **(detail or {})}
    if run_id:
        said["run"] = str(run_id)
    record = access(actor=by, action=verdict, of="approvals", detail=said)
    return append(connection, keyring, [record])[0]


def approve_all(
    connection: Connection,
    keyring: Keyring,
    found: Sequence[Unapproved],
    *,
    by: str,
    reason: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Approve these as they are, for whoever looked at them outside of a run. Call it last."""
    if found:
        things = {one.name: one.sha256 for one in found}
        decide(connection, keyring, things, "approved", by=by, reason=reason, detail=detail)


def answer(
    settings: Settings,
    things: Mapping[str, str],
    verdict: Verdict,
    *,
    by: str,
    reason: str,
    run_id: UUID,
) -> None:
    """Record the answer to a run's question. Raises RefusedError where it is a no.

    Nobody's ends the run and takes no approval back: the same was asked by another run, perhaps,
    and approved there.
    """
    keyring = open_keyring(settings.keyring)
    with store.connect(settings.store_url).begin() as connection:
        store.require_keyring(connection, keyring)
        decided = dict(things)
        if by == NOBODY:
            known = _known(connection, things)
            decided = {name: one for name, one in things.items() if not known[name][0]}
        decide(connection, keyring, decided, verdict, by=by, reason=reason, run_id=run_id)
    if verdict == "rejected":
        said = "nobody answered in time" if by == NOBODY else f"{by} said no: {reason}"
        raise RefusedError(f"{listed(things)} was not approved; {said}")


def turned_away(settings: Settings, by: str, things: Mapping[str, str | int], run_id: UUID) -> None:
    """Record that somebody answered who may not; the question stands (SEC-15).

    `things` are states by digest, or a pause by its number.
    """
    keyring = open_keyring(settings.keyring)
    pauses = {name: one for name, one in things.items() if isinstance(one, int)}
    detail = {"run": str(run_id)} | ({"pause": pauses} if pauses else {"sha256": dict(things)})
    with store.connect(settings.store_url).begin() as connection:
        append(connection, keyring, [
            access(actor=by, action="turned_away", of="approvals", detail=detail),
        ])  # fmt: skip


def may_answer(settings: Settings, by: str) -> bool:
    """Whether the practice takes this person's answers; without a list, whoever Airflow let in."""
    approvers = load_practice(settings.home / "practice.yaml").approvers
    return not approvers or by in approvers


def is_fresh(connection: Connection) -> bool:
    """Whether nobody has decided anything yet: the store is a new installation's."""
    return connection.execute(text("SELECT NOT EXISTS (SELECT FROM approval)")).scalar_one() is True


def history(connection: Connection, limit: int = 200) -> list[Decision]:
    """The last decisions, the newest first."""
    found = connection.execute(
        text(
            "SELECT subject, sha256, decision, decided_by, reason, run_id, decided_at"
            " FROM approval ORDER BY number DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [Decision(*row) for row in found]


def is_approved(connection: Connection, subject: str, sha256: str) -> bool:
    """Whether the newest decision about exactly this was a yes."""
    return _known(connection, {subject: sha256})[subject][0]


def _known(connection: Connection, things: Mapping[str, str]) -> dict[str, tuple[bool, str | None]]:
    """Name -> whether this state is approved, and which one was last."""
    found = connection.execute(
        text(_KNOWN), {"names": list(things), "digests": list(things.values())}
    )
    return {row.subject: (row.approved, row.last_approved) for row in found}


def _question(run: Run, found: Sequence[Unapproved]) -> Question:
    rows = [
        f"| {one.name} | {'changed' if one.previous else 'new'} | {one.sha256[:DIGITS]} |"
        f" {one.changed_by(run.settings.home)} |"
        for one in found[:ROWS]
    ]
    if len(found) > ROWS:
        rows.append(f"| and {len(found) - ROWS} more | | | |")
    body = "\n".join([
        "This run would work by what nobody has approved in this state:",
        "",
        "| what | | SHA-256 begins | changed last by |",
        "|---|---|---|---|",
        *rows,
        "",
        "Look at it first: `python -m reengage preview`, or a run with `dry` writes its letters"
        " and sends none. **Approve** is valid for exactly these digests, in every campaign."
        f" **Reject**, or no answer by {run.day} 24:00 ({run.campaign.time_zone}), ends this run"
        " and sends nothing. Your name and reason go into the ledger.",
    ])  # fmt: skip
    subject = f"{run.campaign.title}, {run.day}: {len(found)} changed. Send by it?"
    return Question(subject, body, patience(run), {one.name: one.sha256 for one in found})
