"""Norms: row counts of the source are compared with the campaign's recent green runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from daily import Practice
from reengage.pipeline import norms
from reengage.pipeline.run import Run
from sqlalchemy import text
from world import DAY

USUAL = dict.fromkeys(norms.COUNTS, 100)
ANY = {f"{name}_least": 0 for name in norms.COUNTS} | {
    f"{name}_most": 10**15 for name in norms.COUNTS
}


@pytest.fixture
def run(practice: Practice) -> Run:
    return replace(practice.open(dry=True), mode="live")


def ran(
    run: Run,
    counts: Mapping[str, int] | None,
    *,
    day: date = DAY,
    gate: str = "green",
    mode: str = "live",
    campaign: str = "health_education",
) -> UUID:
    run_id = uuid4()
    with run.store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id,"
                " campaign_sha256, vendor, baa_id, gate, source_counts) VALUES (:run_id,"
                " :campaign, :day, :mode, 'x', 'x', 'x', 'x', :gate, CAST(:counts AS jsonb))"
            ),
            {
                "run_id": run_id, "campaign": campaign, "day": day, "mode": mode, "gate": gate,
                "counts": None if counts is None else json.dumps(counts),
            },
        )  # fmt: skip
    return run_id


def bounds(run: Run) -> dict[str, int]:
    with run.store.connect() as connection:
        return norms.bounds(connection, run)


def test_two_runs_make_no_norm_and_three_do(run: Run) -> None:
    ran(run, USUAL)
    ran(run, USUAL)
    assert bounds(run) == ANY
    ran(run, {**USUAL, "opt_outs": 9})
    assert bounds(run) == {f"{name}_least": 50 for name in norms.COUNTS} | {
        f"{name}_most": 220 for name in norms.COUNTS
    }


def test_only_recent_green_live_runs_of_the_campaign_count(run: Run) -> None:
    ran(run, USUAL)
    ran(run, USUAL)
    ran(run, None)
    ran(run, USUAL, gate="red")
    ran(run, USUAL, mode="dry")
    ran(run, USUAL, campaign="medication_reminder")
    ran(run, USUAL, day=DAY - timedelta(days=61))
    ran(run, USUAL, day=DAY + timedelta(days=1))
    assert bounds(run) == ANY
    ran(run, USUAL, day=DAY - timedelta(days=60))
    assert bounds(run) != ANY


def test_a_table_that_became_small_is_told_even_where_it_was_small(run: Run) -> None:
    """SEC-08: of three opt-outs none is left."""
    for _ in range(3):
        ran(run, {**USUAL, "opt_outs": 3})
    assert bounds(run)["opt_outs_least"] == 2


def test_a_rehearsal_has_no_norm(run: Run) -> None:
    for _ in range(3):
        ran(run, USUAL)
    assert bounds(replace(run, mode="dry")) == ANY


def test_what_a_person_accepted_is_forgotten_for_that_campaign(run: Run) -> None:
    for _ in range(3):
        ran(run, USUAL)
    with run.store.begin() as connection:
        norms.accept(connection, "medication_reminder", "a merger")
    assert bounds(run) != ANY
    with run.store.begin() as connection:
        norms.accept(connection, "health_education", "a merger")
    assert bounds(run) == ANY
    for _ in range(3):
        ran(run, {**USUAL, "patients": 900})
    assert bounds(run)["patients_least"] == 450
