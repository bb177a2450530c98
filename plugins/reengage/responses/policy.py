"""Policy: what follows from a message about a letter. Pure.

    verdict        follows
    hard           the address is suppressed at once, until it is confirmed anew or lifted
    soft           counted; the Nth letter within D days suppresses the address for a while
    delayed        nothing; it may still arrive
    delivered      nothing; it may not have been read
    complaint      the patient is suppressed for the campaign's purpose
    not_spam       nothing
    unclear        a notice that says neither

A notice that names another recipient than the letter's (it was forwarded, or somebody changed it)
is soft at most: it takes several letters, of which each has its own unguessable name, to suppress.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reengage.responses.diagnosis import Cause
from reengage.responses.notice import Report

Verdict = Literal["hard", "soft", "delayed", "delivered", "complaint", "not_spam", "unclear"]
COMPLAINTS = ("abuse", "fraud", "virus", "other", "opt-out", "opt-out-list")
"""Feedback types after which nothing of the kind is sent any more (RFC 5965 section 7.3)."""


@dataclass(frozen=True)
class Judged:
    """What a notice comes to, for the one recipient that our letter has."""

    verdict: Verdict
    cause: Cause | None = None
    status: str | None = None
    elsewhere: bool = False
    """Whether it names other recipients only."""

    @property
    def why(self) -> str:
        """For the letter's record: `returned: no_such_user 5.1.1`."""
        return " ".join(one for one in ("returned:", self.cause, self.status) if one)


def judge(reports: Sequence[Report], is_ours: Callable[[str], bool]) -> Judged:
    """The worst that is said of our recipient; of others only, and it counts as soft."""
    mine = [one for one in reports if not one.addresses or any(map(is_ours, one.addresses))]
    elsewhere = bool(reports) and not mine
    worst = max(mine or reports, key=_weight, default=None)
    if worst is None:
        return Judged("unclear")
    verdict = _verdict(worst)
    if elsewhere and verdict == "hard":
        verdict = "soft"
    return Judged(verdict, worst.diagnosis.cause, worst.diagnosis.status or None, elsewhere)


def judge_complaint(feedback: str) -> Verdict:
    """Whether a feedback report complains; one that says the opposite, or of failed
    authentication, does not.
    """
    return "complaint" if feedback in COMPLAINTS else "not_spam"


def _weight(one: Report) -> int:
    return ("unclear", "delivered", "delayed", "soft", "hard").index(_verdict(one))


def _verdict(one: Report) -> Verdict:
    if one.action == "failed":
        return "hard" if one.hard else "soft"
    if one.action == "delayed":
        return "delayed"
    return "unclear" if one.action == "other" else "delivered"
