"""Suppressions as extraction and claim read them: in force, over, lifted, confirmed anew."""

from __future__ import annotations

from datetime import timedelta

import pytest
from daily import Practice
from ready import reasons
from reengage.pipeline.decide import recipient_pseudonym
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from sqlalchemy import text
from world import NOW

LATER, EARLIER = NOW + timedelta(days=1), NOW - timedelta(days=1)
BEFORE_IT_WAS_CONFIRMED = NOW - timedelta(days=1001)

CASES: dict[str, tuple[dict[str, object], str]] = {
    "p0": ({"at": EARLIER}, "address_suppressed"),
    "p1": ({"at": EARLIER, "expires_at": LATER}, "address_suppressed"),
    "p2": ({"at": EARLIER, "expires_at": NOW}, "sent"),
    "p3": ({"at": EARLIER, "lifted_at": EARLIER, "lifted_by": "olga"}, "sent"),
    "p4": ({"at": BEFORE_IT_WAS_CONFIRMED}, "sent"),
    "p5": ({"at": EARLIER, "purpose": "treatment"}, "complained"),
    "p6": ({"at": EARLIER, "purpose": "education"}, "sent"),
    "p7": ({"at": EARLIER, "purpose": "treatment", "expires_at": NOW}, "sent"),
    "p8": (
        {"at": EARLIER, "purpose": "treatment", "lifted_at": EARLIER, "lifted_by": "olga"}, "sent",
    ),
    "p9": ({"at": BEFORE_IT_WAS_CONFIRMED, "purpose": "treatment"}, "complained"),
}  # fmt: skip
"""Patient: what is recorded of them, or of their address where no purpose is, and what follows."""


@pytest.fixture
def run(practice: Practice) -> Run:
    for key in CASES:
        practice.world.patient(key)
    return practice.open("appointment_reminder")


def suppress(run: Run) -> None:
    with run.store.begin() as connection:
        for key, (row, _) in CASES.items():
            of = (
                {"patient": run.pseudonym(key)}
                if "purpose" in row
                else {"recipient": recipient_pseudonym(run, f"{key}@example.org")}
            )
            columns = {"reason": "x", **row, **of}
            names = ", ".join(columns)
            values = ", ".join(f":{name}" for name in columns)
            connection.execute(
                text(f"INSERT INTO suppression ({names}) VALUES ({values})"), columns
            )


def test_the_extraction_leaves_out_whom_a_suppression_in_force_names(
    practice: Practice, run: Run
) -> None:
    """PRV-23, EML-10."""
    suppress(run)
    practice.extracted(run)
    found = {key: (codes or ["sent"]) for key, codes in practice.reasons(run).items()}
    assert found == {key: [follows] for key, (_, follows) in CASES.items()}


def test_the_claim_looks_once_more(practice: Practice, run: Run) -> None:
    [chunk] = practice.hurry(run)
    suppress(run)
    send(run, chunk)
    assert reasons(practice, run) == {key: follows for key, (_, follows) in CASES.items()}


def test_a_replay_knows_of_no_later_suppression_and_of_no_later_end(practice: Practice) -> None:
    """As of the end of the day that is played again."""
    for key in ("p0", "p1", "p2"):
        practice.world.patient(key)
    day = NOW.date() - timedelta(days=3)
    run = practice.open("appointment_reminder", day=day)
    instants = {
        "p0": (NOW, None), "p1": (NOW - timedelta(days=10), NOW),
        "p2": (NOW - timedelta(days=10), NOW - timedelta(days=9)),
    }  # fmt: skip
    with run.store.begin() as connection:
        for key, (at, lifted) in instants.items():
            connection.execute(
                text(
                    "INSERT INTO suppression (recipient, reason, at, lifted_at, lifted_by)"
                    " VALUES (:r, 'x', :at, CAST(:lifted AS timestamptz),"
                    " CASE WHEN CAST(:lifted AS timestamptz) IS NOT NULL THEN 'olga' END)"
                ),
                {"r": recipient_pseudonym(run, f"{key}@example.org"), "at": at, "lifted": lifted},
            )
    practice.extracted(run)
    told = {key: "address_suppressed" in codes for key, codes in practice.reasons(run).items()}
    assert told == {"p0": False, "p1": True, "p2": False}
