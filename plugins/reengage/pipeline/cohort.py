"""Cohort: whether the number of letters that are due is a usual one, or a person has to say yes.

An extraction that went wrong in a way that no expectation knows still shows in the count. Unusual
is: more than the campaign's cap; or, once there are enough days to tell, more than twice the median
of its recent days, or less than a quarter of it, and a few. A yes is valid for this campaign, day
and number only. Where a new number is there to stay, `python -m reengage accept-counts` forgets
the days before, for these counts and those of the source alike (norms.py); the cap is the
campaign file's to change.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from reengage.errors import GateError
from reengage.keys import digest
from reengage.ledger.canonical import canonical
from reengage.pipeline import norms
from reengage.pipeline.approvals import is_approved
from reengage.pipeline.question import Question, UnapprovedError, patience
from reengage.pipeline.run import Run


def require_usual(connection: Connection, run: Run, letters: int) -> None:
    """Note how many letters are due, and refuse a number that is unusual and nobody approved.

    Raises UnapprovedError.
    """
    limits = norms.cohort_bounds(connection, run) if run.mode == "live" else None
    connection.execute(
        text("UPDATE run SET cohort = :letters WHERE run_id = :run_id"),
        {"letters": letters, "run_id": run.run_id},
    )
    said = _unusual(run, letters, limits)
    if said is None:
        return
    if run.mode != "live":  # it reaches nobody, and nobody is asked
        raise GateError(f"{letters:,} letters are due; {said}")
    subject = f"cohort/{run.campaign.slug}"
    about = {"campaign": run.campaign.slug, "day": run.day.isoformat(), "letters": letters}
    sha256 = digest(canonical(about))
    if not is_approved(connection, subject, sha256):
        raise UnapprovedError(_question(run, letters, said, {subject: sha256}))


def _unusual(run: Run, letters: int, limits: norms.CohortBounds | None) -> str | None:
    """What is unusual about it; None = nothing."""
    cap = run.campaign.caps.letters_per_run
    if letters > cap:
        return f"the campaign allows {cap:,} a run (`caps.letters_per_run`)"
    if limits and not limits.least <= letters <= limits.most:
        return (
            f"on its last {limits.days} days the median was {limits.median:,}, and"
            f" {limits.least:,} to {limits.most:,} would be usual"
        )
    return None


def _question(run: Run, letters: int, said: str, things: dict[str, str]) -> Question:
    subject = f"{run.campaign.title}, {run.day}: {letters:,} letters are due. Write them?"
    body = "\n".join([
        f"{letters:,} letters are due; {said}.",
        "",
        "Look at the funnel first: `python -m reengage report`, and what changed in the source."
        " **Approve** is valid for this number on this day only. **Reject**, or no answer by"
        f" {run.day} 24:00 ({run.campaign.time_zone}), ends this run and writes nothing. If it is"
        " to stay so: `python -m reengage accept-counts`, or raise the cap in the campaign's file."
        " Your name and reason go into the ledger.",
    ])  # fmt: skip
    return Question(subject, body, patience(run), things)
