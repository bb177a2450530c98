"""Breaker: a run that meets too many refusals or errors pauses itself until a person decides.

What became of the run's last letters is counted in the store, over all chunks, in the transaction
that settles them; where the campaign's `breaker` says that it is too much, the same transaction
opens a pause, so that no chunk claims another letter. One pause is open at a time, and one task
asks (operators.SendOperator). Approved: the run goes on with the letters it holds, and counting
begins anew. Rejected, or not answered on the run's day: its open letters are left to the campaign's
next run. Who decided, and why, is in the ledger (SEC-15). Counts and codes only: a relay's text may
name a patient.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

from reengage.delivery import Breaker
from reengage.grounds import NO_REASON
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.question import NOBODY, end_of_day
from reengage.pipeline.run import Run
from reengage.sql import load_sql

REJECTED = "stopped_by_breaker"
"""Reason of the letters that a rejected run leaves to the next one."""
_SHOWN = 10
"""Kinds of refusals and errors that a question has room for, the most frequent first."""

Decision = Literal["approved", "rejected"]
Answered = tuple[str, str | None]
"""What became of a letter: its state, and stage and codes where it was not sent."""


@dataclass(frozen=True)
class Seen:
    """What became of a run's last letters."""

    letters: int
    refused: int
    errors: int
    """Put off, lost or unknown."""
    reasons: Mapping[str, int]
    """Stage and codes of what was not sent -> how many letters."""

    def is_too_much(self, limits: Breaker) -> bool:
        """Whether a run pauses. Not before as many letters were seen as are to be looked at."""
        return self.letters >= limits.of and (
            self.refused >= limits.refused * self.letters
            or self.errors >= limits.errors * self.letters
        )


@dataclass(frozen=True)
class Question:
    """What a person is asked."""

    number: int
    chunk: int
    subject: str
    body: str
    patience: timedelta
    """How long an answer is waited for."""

    @property
    def about(self) -> str:
        """What tells it from any other question of the task."""
        return f"pause {self.number}"


@dataclass(frozen=True)
class Pause:
    """A run's newest pause that was not approved."""

    number: int
    chunk: int
    """Whose task asks."""
    opened_at: datetime
    until: datetime
    seen: Seen
    rejected: bool

    def body(self) -> str:
        """What somebody must know to decide, in Markdown: counts and codes only."""
        seen = self.seen
        lines = [
            f"Of its last {seen.letters} letters, {seen.refused} were refused and {seen.errors}"
            f" were put off or lost (pause {self.number}, {self.opened_at:%Y-%m-%d %H:%M} UTC).",
            "",
            "| stage and codes | letters |",
            "|---|---:|",
            *(f"| {reason} | {count} |" for reason, count in list(seen.reasons.items())[:_SHOWN]),
            "",
            "**Approve**: the letters that it holds are sent now. **Reject**: they are left to the"
            f" campaign's next run, which also happens at {self.until:%Y-%m-%d %H:%M} UTC if nobody"
            " answers. Your name and reason go into the ledger. What the codes mean:"
            " docs/runbook.md, Breaker.",
        ]
        return "\n".join(lines)


class Watch:
    """What one try has met itself: when that is too much, it settles and asks the store at once."""

    def __init__(self, limits: Breaker | None) -> None:
        self._limits = limits
        self._recent: deque[str] = deque(maxlen=limits.of if limits else 0)

    def saw(self, state: str, reason: str | None) -> bool:
        """One more answer; gives whether to look. It begins anew then."""
        self._recent.append(_said(state, reason))
        if self._limits is None or self._recent.count("sent") == len(self._recent):
            return False  # as after nearly every letter
        alarmed = seen_of(self._recent).is_too_much(self._limits)
        if alarmed:
            self._recent.clear()
        return alarmed


def seen_of(recent: Iterable[str]) -> Seen:
    """Counts of outcomes as `note` writes them. Touches nothing."""
    recent = list(recent)
    kinds = Counter(one.partition(" ")[0] for one in recent)
    reasons = Counter(one.partition(" ")[2] or one for one in recent if one != "sent")
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    errors = kinds.total() - kinds["sent"] - kinds["refused"]
    return Seen(len(recent), kinds["refused"], errors, ordered)


def note(connection: Connection, run: Run, chunk: int, outcomes: Sequence[Answered]) -> bool:
    """Count what a relay has just said of letters, oldest first.

    Call it in the transaction that settles them, before the ledger's records. Gives whether the run
    is paused or stopped now, by this chunk or another. A campaign without a breaker counts nothing.
    """
    limits = run.campaign.breaker
    if limits is None or not outcomes:
        return False
    said = [_said(state, reason) for state, reason in outcomes]
    recent = connection.execute(
        text(load_sql(run.settings.home, "outbox/watch.sql")),
        {"run_id": run.run_id, "said": said[-limits.of :], "most": limits.of},
    ).scalar_one()
    found = pause_of(connection, run)
    seen = seen_of(recent)
    if found is None and seen.is_too_much(limits):
        _open(connection, run, chunk, seen)
        return True
    return found is not None


def pause_of(connection: Connection, run: Run) -> Pause | None:
    """What keeps the run from claiming letters; None = nothing does."""
    row = connection.execute(
        text(
            "SELECT number, chunk, opened_at, until, letters, refused, errors, reasons, decision"
            " FROM pause WHERE run_id = :run_id AND decision IS DISTINCT FROM 'approved'"
            " ORDER BY number DESC LIMIT 1"
        ),
        {"run_id": run.run_id},
    ).one_or_none()
    if row is None:
        return None
    seen = Seen(row.letters, row.refused, row.errors, _ordered(row.reasons))
    return Pause(row.number, row.chunk, row.opened_at, row.until, seen, row.decision == "rejected")


def is_paused(connection: Connection, run: Run) -> bool:
    """Whether somebody is to be asked before another letter is claimed."""
    found = pause_of(connection, run)
    return found is not None and not found.rejected


def decide(
    connection: Connection,
    run: Run,
    number: int,
    decision: Decision,
    by: str = NOBODY,
    reason: str = NO_REASON,
) -> bool:
    """Record a person's answer, once, with who gave it and why; gives whether it was the first.

    Approved: counting begins anew. Rejected: the run's composed letters are left to the next run,
    which a chunk that is at work does for what it holds itself.
    """
    moved = connection.execute(
        text(
            "UPDATE pause SET decision = :decision, decided_by = :by,"
            " decided_at = clock_timestamp()"
            " WHERE run_id = :run_id AND number = :number AND decision IS NULL"
            " RETURNING letters, refused, errors, reasons"
        ),
        {"run_id": run.run_id, "number": number, "decision": decision, "by": by},
    ).one_or_none()
    if moved is None:
        return False
    connection.execute(
        text("UPDATE watch SET recent = '{}' WHERE run_id = :run_id"), {"run_id": run.run_id}
    )
    if decision == "rejected":
        _leave_to_the_next_run(connection, run)
    detail = {
        "run": str(run.run_id), "pause": number, "letters": moved.letters,
        "refused": moved.refused, "errors": moved.errors, "reasons": dict(moved.reasons),
        "reason": reason,
    }  # fmt: skip
    record = access(actor=by, action=decision, of=f"breaker/{run.campaign.slug}", detail=detail)
    append(connection, run.keyring, [record])
    return True


def adopt(connection: Connection, run: Run, chunks: int) -> None:
    """Have the run's first chunk ask what none of its chunks, 0 to below `chunks`, asks any more.

    A run that is cleared as a whole may be cut into fewer: its pause would have nobody to ask.
    """
    connection.execute(
        text(
            "UPDATE pause SET chunk = 0"
            " WHERE run_id = :run_id AND decision IS NULL AND chunk >= :chunks"
        ),
        {"run_id": run.run_id, "chunks": chunks},
    )


def question_of(run: Run) -> Question | None:
    """What is to be asked about the run now; None = nothing keeps it from sending.

    A pause that was not answered on the run's day is rejected here, where nobody is left to ask.
    """
    with run.store.begin() as connection:
        found = None if expire(connection, run) else pause_of(connection, run)
    if found is None or found.rejected:
        return None
    patience = max(found.until - run.settings.now(), timedelta(seconds=1))
    subject = f"{run.campaign.title}, {run.day}: the run paused itself. Go on sending?"
    return Question(found.number, found.chunk, subject, found.body(), patience)


def answer(run: Run, number: int, decision: Decision, by: str, reason: str) -> None:
    """Record the answer to a question, in a transaction of its own; only the first counts.

    `reason` names nobody (grounds.tidy); who asks sees to it that a yes has one.
    """
    with run.store.begin() as connection:
        decide(connection, run, number, decision, by or NOBODY, reason)


def expire(connection: Connection, run: Run) -> bool:
    """Reject a pause that nobody answered on the run's day; gives whether there was one."""
    found = pause_of(connection, run)
    if found is None or found.rejected or run.settings.now() < found.until:
        return False
    return decide(connection, run, found.number, "rejected")


def _said(state: str, reason: str | None) -> str:
    return state if state == "sent" else f"{state} {reason or ''}".strip()


def _open(connection: Connection, run: Run, chunk: int, seen: Seen) -> None:
    connection.execute(
        text(load_sql(run.settings.home, "outbox/pause.sql")),
        {
            "run_id": run.run_id,
            "chunk": chunk,
            "until": end_of_day(run),
            "letters": seen.letters,
            "refused": seen.refused,
            "errors": seen.errors,
            "reasons": json.dumps(seen.reasons),
        },
    )


def _leave_to_the_next_run(connection: Connection, run: Run) -> None:
    connection.execute(
        text(
            "UPDATE letter SET state = 'deferred', reason = :reason, settled_at = clock_timestamp()"
            " WHERE sender_run_id = :run_id AND checked_at IS NOT NULL AND rehearsal IS NULL"
            " AND state = 'composed'"
        ),
        {"run_id": run.run_id, "reason": REJECTED},
    )


def _ordered(reasons: Mapping[str, Any]) -> dict[str, int]:
    """As `seen_of` orders them: jsonb keeps no order."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
