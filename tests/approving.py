"""Approving, as a person does it who answers a run's question; and what is on record of it."""

from __future__ import annotations

from uuid import uuid4

from daily import Practice
from reengage.ledger.entry import parse
from reengage.pipeline import approvals


def answered(practice: Practice, things: dict[str, str], verdict: str = "approved") -> None:
    approvals.answer(
        practice.settings,
        things,
        verdict,
        by="olga",
        reason="read it",
        run_id=uuid4(),  # type: ignore[arg-type]
    )


def records(practice: Practice) -> list[dict[str, object]]:
    found = practice.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    return [dict(parse(bytes(row["entry"])).body) for row in found]  # type: ignore[call-overload]
