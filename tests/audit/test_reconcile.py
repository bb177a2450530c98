"""Reconcile: for each way in which a task can end, what Airflow says and what the ledger must have.

Airflow is simulated with the answers that a real one gives (OLN-02, LOG-12); the ledger is real.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from reengage.audit.memory import Memory, recall
from reengage.audit.reconcile import OVERLAP, facet_of
from reengage.errors import LedgerError
from reengage.ledger.runs import Runs

from audit.conftest import T0, Accounts

LATER = T0 + timedelta(minutes=3)


def test_a_day_in_order_has_no_gap(accounts: Accounts) -> None:
    accounts.tried("START", "COMPLETE")
    accounts.tried("START", "FAIL", state="failed")
    accounts.tried("START", "RUNNING", "COMPLETE", task="send", map_index=3)
    accounts.tried("START", "COMPLETE", logical=T0 - timedelta(days=1))
    found = accounts.reconciled()
    assert found.counts() == {"tries": 4, "runs": 4, "aborted": 0, "accepted": 0, "gaps": 0}
    found.require_none()
    assert found.next_index == accounts.size


@pytest.mark.parametrize(
    "row",
    [
        # nobody to write to; something before it failed; a chunk that is no more
        {"state": "skipped", "number": 0, "start": T0, "end": T0},
        {"state": "upstream_failed", "number": 0, "start": T0, "end": T0},
        {"state": "removed", "number": 0, "start": None, "end": None, "map_index": 7},
        # not begun, or begun a moment ago
        {"state": None, "number": 0, "start": None, "end": None},
        {"state": "scheduled", "start": None, "end": None},
        {"state": "queued", "start": None, "end": None},
        {"state": "running", "end": None},
        # it failed before a worker took it up, or was ended by hand there
        {"state": "failed", "start": None},
        {"state": "success", "start": T0, "end": T0},
    ],
    ids=lambda one: f"{one['state']}-{one.get('start') is not None}",
)
def test_a_try_that_no_worker_took_up_and_ended_needs_no_entry(
    row: dict[str, Any], accounts: Accounts
) -> None:
    accounts.tried(**row)
    found = accounts.reconciled()
    assert (found.gaps, found.aborted, found.tries) == ([], 0, 0)


def test_a_try_that_failed_in_the_queue_bears_the_date_of_the_one_before(
    accounts: Accounts,
) -> None:
    accounts.tried("START", "FAIL", history="failed", known=False, run="r", logical=T0)
    accounts.tried(number=2, state="failed", run="r", logical=T0, end=LATER)
    assert accounts.reconciled().gaps == []


@pytest.mark.parametrize(
    ("state", "history"),
    [("success", None), ("failed", None), (None, "success"), ("up_for_retry", "failed")],
)
def test_a_try_without_start_is_a_gap(
    state: str | None, history: str | None, accounts: Accounts
) -> None:
    accounts.tried(state=state, history=history, task="send", map_index=2, run="manual__1")
    [gap] = accounts.reconciled().gaps
    assert str(gap) == (
        f"{accounts.dag}.send[2] try 1 of manual__1: Airflow has it as"
        f" {history or state}, the ledger never saw it begin"
    )


def test_what_is_going_on_stays_open_and_is_read_again_the_next_time(accounts: Accounts) -> None:
    accounts.tried("START", "COMPLETE")
    before = accounts.size
    running = accounts.tried("START", state="running", end=None)
    waiting = accounts.tried("START", "RUNNING", state="up_for_reschedule")
    found = accounts.reconciled()
    assert (found.gaps, found.aborted, found.next_index) == ([], 0, before)
    assert accounts.types(running) == ["START"]
    assert accounts.types(waiting) == ["START", "RUNNING"]


@pytest.mark.parametrize(
    ("state", "history", "told"),
    [
        ("failed", None, "failed"),  # killed, its last try
        ("removed", None, "removed"),
        ("up_for_retry", "failed", "failed"),  # killed, to be tried again
        (None, "failed", "failed"),  # cleared while it ran
        ("restarting", "failed", "failed"),
    ],
)
def test_a_run_whose_task_died_is_closed_with_what_airflow_says(
    state: str | None, history: str | None, told: str, accounts: Accounts
) -> None:
    run_id = accounts.tried("START", "RUNNING", state=state, history=history)
    found = accounts.reconciled()
    assert (found.gaps, found.aborted) == ([], 1)
    start, _, abort = accounts.ledger(run_id)
    assert abort["eventType"] == "ABORT"
    assert f"Airflow has try 1 as {told}" in abort["run"]["facets"]["errorMessage"]["message"]
    assert abort["job"] == start["job"]
    assert abort["run"]["facets"]["parent"] == start["run"]["facets"]["parent"]
    order = Runs()
    assert [order.event(str(run_id), kind) for kind in accounts.types(run_id)] == [None] * 3
    assert accounts.reconciled().aborted == 0


def test_each_try_of_a_task_is_a_run_of_its_own(accounts: Accounts) -> None:
    same = {"task": "send", "map_index": 0, "run": "r", "logical": T0}
    killed = accounts.tried("START", number=1, history="failed", known=False, **same)  # type: ignore[arg-type]
    accounts.tried(
        "START", "COMPLETE", number=2, history="success", known=False, start=LATER, **same
    )  # type: ignore[arg-type]
    accounts.tried("START", "COMPLETE", number=3, start=LATER + OVERLAP, **same)  # type: ignore[arg-type]
    found = accounts.reconciled()
    assert (found.gaps, found.tries, found.aborted) == ([], 3, 1)
    assert accounts.types(killed) == ["START", "ABORT"]


def test_a_cleared_task_keeps_what_its_last_try_was(accounts: Accounts) -> None:
    accounts.tried("START", "COMPLETE", state=None, history="success")
    accounts.tried("START", "FAIL", state="upstream_failed", history="failed")
    assert accounts.reconciled().gaps == []


@pytest.mark.parametrize(
    ("said", "end"), [(["START"], "open"), (["START", "FAIL"], "failed")], ids=["killed", "failed"]
)
def test_success_that_the_ledger_did_not_see_is_a_gap(
    said: list[Any], end: str, accounts: Accounts
) -> None:
    run_id = accounts.tried(*said)
    [gap] = accounts.reconciled().gaps
    assert str(gap).endswith(f"Airflow calls it success, the ledger has it as {end}")
    assert accounts.types(run_id)[-1] in ("ABORT", "FAIL")
    assert [one.what for one in accounts.reconciled().gaps] == ["no_complete"]


def test_a_start_that_airflow_does_not_know_is_a_gap_and_closed(accounts: Accounts) -> None:
    run_id = accounts.tried("START", known=False)
    done = accounts.tried("START", "COMPLETE", known=False)
    found = accounts.reconciled()
    assert {(gap.run_id, gap.what) for gap in found.gaps} == {
        (run_id, "unknown"),
        (done, "unknown"),
    }
    message = accounts.ledger(run_id)[-1]["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("left no end, and Airflow knows no such try")


@pytest.mark.parametrize("logical", [None, T0 - timedelta(days=2, microseconds=7)])
def test_a_run_that_airflows_latest_changes_do_not_name_is_asked_after(
    logical: Any, accounts: Accounts
) -> None:
    long_ago = T0 - timedelta(days=3)
    accounts.tried("START", state="running", end=None, updated_at=long_ago, logical=logical)
    dead = accounts.tried(
        "START", state="failed", updated_at=long_ago, logical=logical, task="gate"
    )
    found = accounts.reconciled()
    assert (found.gaps, found.aborted) == ([], 1)
    assert accounts.types(dead) == ["START", "ABORT"]


def test_what_ends_while_airflow_is_asked_is_neither_gap_nor_aborted(accounts: Accounts) -> None:
    old = T0 - timedelta(days=3)
    run_id = accounts.tried("START", state="running", end=None, updated_at=old, logical=T0)
    asked: list[str] = []

    def end(path: str) -> None:
        asked.append(path)
        if len(asked) == 2:  # the first question was for the latest changes
            accounts.tell(run_id, f"{accounts.dag}.extract", 1, -1, T0, "COMPLETE")
            accounts.airflow.instances[0] |= {"state": "success", "end_date": LATER.isoformat()}

    accounts.airflow.answering = end
    found = accounts.reconciled()
    assert (found.gaps, found.aborted) == ([], 0)
    assert accounts.types(run_id) == ["START", "COMPLETE"]


def test_other_dags_and_the_mirrors_are_not_asked_for_entries(accounts: Accounts) -> None:
    accounts.tried(dag="reengage_ledger_mirror", task="mirror")
    accounts.tried(dag="reengagement")
    accounts.tried(dag="etl")
    assert accounts.reconciled().counts()["gaps"] == 0


def test_what_ran_before_there_was_a_ledger_is_no_gap(accounts: Accounts) -> None:
    accounts.tried(start=T0 - timedelta(hours=2))
    assert accounts.reconciled().gaps == []


def test_pages_are_read_to_their_end(accounts: Accounts) -> None:
    for number in range(230):
        accounts.airflow.add(
            updated_at=T0, dag_id=accounts.dag, dag_run_id="r", task_id="send", map_index=number,
            try_number=1, state="success", start_date=T0.isoformat(), end_date=LATER.isoformat(),
            logical_date=None, run_after=T0.isoformat(),
        )  # fmt: skip
    found = accounts.reconciled()
    assert len(found.gaps) == 230
    assert accounts.airflow.asked.count("/api/v2/dags/~/dagRuns/~/taskInstances") == 3
    with pytest.raises(LedgerError, match=r"differ on 230 tries: .*; and 227 more; this"):
        found.require_none()
    assert len(facet_of(found)["gaps"]) == 200
    assert facet_of(found)["gapCount"] == 230
    assert dict(found.table())["  no_start"] == 230


def test_a_gap_is_told_until_it_is_accepted(accounts: Accounts) -> None:
    accounts.tried()
    assert len(accounts.reconciled().gaps) == 1
    found = accounts.reconciled(accept=True)
    assert (found.gaps, len(found.accepted)) == ([], 1)
    known = frozenset((gap.run_id, gap.what) for gap in found.accepted)
    accounts.memory = Memory(T0, found.next_index, accounts.memory.began, known)
    assert accounts.reconciled().gaps == []
    accounts.tried(task="gate")
    assert [gap.job for gap in accounts.reconciled().gaps] == [f"{accounts.dag}.gate"]


def test_the_first_time_begins_with_the_ledger(accounts: Accounts) -> None:
    accounts.tried("START", "COMPLETE")
    with accounts.engine.connect() as connection:
        first = recall(connection, accounts.settings.home)
    assert first.since == first.began
    assert replace(first, since=T0, began=None) == Memory(T0, 0, None)
