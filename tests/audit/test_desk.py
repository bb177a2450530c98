"""The desk: verify, checkpoint, archive and reconcile on a ledger that they themselves write to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from openlineage_spec import Spec
from reengage.audit.desk import Desk, open_desk
from reengage.audit.memory import FACET, recall
from reengage.errors import ConfigurationError, LedgerError
from reengage.lineage.events import TaskRun
from sqlalchemy import text

from audit.conftest import T0, Accounts, run_id_of, told_id


@pytest.fixture
def desk(accounts: Accounts) -> Desk:
    """The desk of some try."""
    return desk_of(accounts, "verify")


def desk_of(accounts: Accounts, task: str) -> Desk:
    job, at = f"reengage_audit.{task}", T0 + timedelta(milliseconds=uuid4().int % 10**9)
    try_ = TaskRun(
        run_id=told_id("reengage_audit", task, 1, at, -1), job_namespace="reengage", job_name=job,
        parent_run_id=uuid4(), parent_job_name="reengage_audit", nominal_start=at, task=task,
        map_index=-1, try_number=1, engine_version="3.3.2",
    )  # fmt: skip
    # Airflow knows of the audit as of anything else.
    accounts.airflow.add(
        updated_at=T0 + timedelta(days=9999), dag_id="reengage_audit", dag_run_id=str(uuid4()),
        task_id=task, map_index=-1, try_number=1, state="running", start_date=at.isoformat(),
        end_date=None, logical_date=None, run_after=at.isoformat(),
    )  # fmt: skip
    return open_desk(accounts.settings, try_)


@contextmanager
def changed(accounts: Accounts, statement: str, back: str, **values: Any) -> Iterator[None]:
    """The ledger, changed by who may do anything, and as it was afterwards."""
    for one in (statement, back):
        with accounts.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(one), values)
        if one is statement:
            yield


def test_what_is_done_is_recorded_with_what_was_found(accounts: Accounts, desk: Desk) -> None:
    accounts.tried("START", "COMPLETE")
    desk.begin()
    found = desk.verify()
    desk.complete()
    assert found["entries"] == accounts.size - 1
    assert len(found["root"]) == 16
    start, complete = accounts.ledger(desk.task.run_id)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    said = complete["run"]["facets"]["reengage_ledgerAudit"]
    assert (said["entries"], said["findings"]) == (found["entries"], 0)
    assert said["_schemaURL"].endswith("#/$defs/ReengageLedgerAuditRunFacet")
    assert "Derives the whole ledger" in start["job"]["facets"]["documentation"]["description"]


def test_a_changed_entry_turns_it_red_and_the_finding_is_told_and_recorded(
    accounts: Accounts, desk: Desk
) -> None:
    accounts.tried("START", "COMPLETE")
    place = accounts.size - 1
    with changed(
        accounts,
        "UPDATE ledger_entry SET kind = 'intent' WHERE index = :place",
        "UPDATE ledger_entry SET kind = 'run_event' WHERE index = :place",
        place=place,
    ):
        desk.begin()
        with pytest.raises(LedgerError) as raised:
            desk.verify()
        desk.fail(str(raised.value))
    assert f"the ledger is not what it was: entry {place} has another kind" in str(raised.value)
    assert accounts.types(desk.task.run_id) == ["START", "FAIL"]


def test_a_ledger_that_takes_no_entry_is_verified_all_the_same(
    accounts: Accounts, desk: Desk
) -> None:
    accounts.tried("START", "COMPLETE")
    with changed(
        accounts,
        "UPDATE ledger_head SET peaks = peaks || '\\x00'",
        "UPDATE ledger_head SET peaks = substr(peaks, 1, length(peaks) - 1)",
    ):
        with pytest.raises(LedgerError):
            desk_of(accounts, "checkpoint").begin()
        desk.begin(anyway=True)
        with pytest.raises(LedgerError, match="the ledger is not what it was"):
            desk.verify()
        desk.fail("…")  # nothing of a try that is not there
        with pytest.raises(LedgerError, match="nothing is appended"):
            desk.complete()
    assert accounts.types(desk.task.run_id) == []


def test_a_try_that_the_ledger_has_is_not_begun_again(accounts: Accounts, desk: Desk) -> None:
    desk.begin()
    with pytest.raises(LedgerError, match=r"has this try of reengage_audit\.verify already"):
        open_desk(accounts.settings, desk.task).begin()


def test_a_checkpoint_lies_where_it_was_told_to_and_the_archive_has_it(
    accounts: Accounts, desk: Desk, tmp_path: Path
) -> None:
    accounts.tried("START", "COMPLETE")
    archiving = desk_of(replace_settings(accounts, archive=str(tmp_path / "archive")), "archive")
    desk.begin()
    signed = desk.checkpoint()
    files = sorted(path.name for path in (desk.keyring.directory / "checkpoints").iterdir())
    assert files[-1] == f"{signed['size']:020}.checkpoint"
    found = archiving.archive()
    assert found["archived"] == signed["size"]
    again = archiving.archive()
    assert (again["archived"], again["files"]) == (signed["size"], 0)
    lines = b"".join(
        path.read_bytes() for path in sorted((tmp_path / "archive" / "segments").iterdir())
    ).splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(signed["size"]))


def test_without_an_archive_that_is_said_and_nothing_done(desk: Desk) -> None:
    assert desk.archive() == {"archived": "no: REENGAGE_ARCHIVE names no place"}


def test_without_airflows_address_nothing_is_taken_for_granted(accounts: Accounts) -> None:
    there = desk_of(replace_settings(accounts, airflow_url=None), "reconcile")
    with pytest.raises(ConfigurationError, match="setting REENGAGE_AIRFLOW_URL is missing"):
        there.reconcile(run_id_of)


def test_gaps_are_told_every_day_until_somebody_accepts_them(accounts: Accounts) -> None:
    """Whoever that is, the ledger says."""
    far = {"updated_at": T0 + timedelta(days=9999), "start": T0 + timedelta(days=9999)}
    for _ in range(2):
        day = desk_of(accounts, "reconcile")
        day.begin()
        gap = accounts.tried(**far) if not accounts.runs else accounts.runs[0]  # type: ignore[arg-type]
        found = day.reconcile(run_id_of)
        assert gap in [one.run_id for one in found.gaps]
        with pytest.raises(LedgerError, match="ledger and Airflow differ on"):
            found.require_none()
        day.fail("ledger and Airflow differ on scheduled__…")
        said = accounts.ledger(day.task.run_id)[-1]["run"]["facets"]
        assert said["errorMessage"]["message"] == found.said()
        assert {"run": str(gap), "job": f"{accounts.dag}.extract", "what": "no_start"} in said[
            FACET
        ]["gaps"]
    accepting = desk_of(accounts, "reconcile")
    accepting.begin()
    accepting.reconcile(run_id_of, accepted_by="olga").require_none()
    accepting.complete()
    with accounts.engine.connect() as connection:
        memory = recall(connection, accounts.settings.home)
        [accepted] = connection.execute(
            text("SELECT subject FROM ledger_entry WHERE kind = 'access'")
        ).scalars()
    assert (gap, "no_start") in memory.accepted
    assert accepted == "olga"
    following = desk_of(accounts, "reconcile")
    following.begin()
    following.reconcile(run_id_of).require_none()
    following.complete()


def test_every_event_of_the_audit_is_openlineage(
    accounts: Accounts, desk: Desk, openlineage: Spec, tmp_path: Path
) -> None:
    accounts.tried("START", state="failed", start=T0 + timedelta(days=9999))
    accounts.tried(start=T0 + timedelta(days=9999), updated_at=T0 + timedelta(days=9999))
    first = accounts.size
    for task in ("verify", "checkpoint", "archive", "reconcile"):
        one = desk_of(replace_settings(accounts, archive=str(tmp_path / "archive")), task)
        one.begin()
        one.reconcile(run_id_of) if task == "reconcile" else getattr(one, task)()
        one.fail("why") if task == "reconcile" else one.complete()
    with accounts.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' FROM ledger_entry"
                " WHERE kind = 'run_event' AND index >= :first ORDER BY index"
            ),
            {"first": first},
        )
        events = list(found.scalars())
    assert {event["eventType"] for event in events} == {"START", "COMPLETE", "ABORT", "FAIL"}
    assert [fault for event in events for fault in openlineage.faults(event)] == []


def replace_settings(accounts: Accounts, **changes: Any) -> Accounts:
    """The same accounts with other settings."""
    return replace(accounts, settings=replace(accounts.settings, **changes))
