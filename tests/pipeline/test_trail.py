"""The trail of a task: START before it touches anything, one end, committed with its last work.

OLN-02, LOG-12. The rooms are played as the corridor plays them, on a real store; what the ledger
then holds is read back from its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from daily import Practice, approve_all
from reengage.errors import GateError, LedgerError, StoreError
from reengage.ledger.append import append
from reengage.ledger.records import run_event
from reengage.lineage.events import TaskRun
from reengage.pipeline import gate as gates
from reengage.pipeline import trail
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.preflight import preflight
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from sqlalchemy import event
from world import NOW

CAMPAIGN = "appointment_reminder"
CANARY = "p0@example.org"


def task_of(room: str, run_id: UUID, chunk: int = -1) -> TaskRun:
    return TaskRun(
        run_id=uuid5(run_id, f"{room}/{chunk}"),
        job_namespace="reengage",
        job_name=f"reengage_{CAMPAIGN}.{room}",
        parent_run_id=run_id,
        parent_job_name=f"reengage_{CAMPAIGN}",
        nominal_start=NOW,
        task=room,
        map_index=chunk,
        try_number=1,
        engine_version="3.3.2",
    )


class Corridor:
    """Plays rooms with a trail each."""

    def __init__(self, practice: Practice) -> None:
        self.practice = practice
        self.run_id = uuid4()
        self.run: Run | None = None

    def preflight(self) -> None:
        approve_all(self.practice.settings, CAMPAIGN)
        begun = self.begin("preflight")
        self.run = preflight(
            self.practice.settings, CAMPAIGN, self.run_id, "manual__test", trail=begun
        )

    def begin(self, room: str, chunk: int = -1) -> trail.Trail:
        return trail.start(self.practice.settings, CAMPAIGN, task_of(room, self.run_id, chunk))

    def open(self, room: str, door: Callable[..., Any], chunk: Chunk | None = None) -> Any:
        assert self.run
        begun = self.begin(room, chunk["number"] if chunk else -1)
        run = replace(self.run, trail=begun)
        found = door(run, chunk) if chunk else door(run)
        assert begun.ended
        return found

    def to_the_plan(self) -> list[Chunk]:
        self.preflight()
        self.open("extract", extract)
        self.open("gate", gate)
        chunks: list[Chunk] = self.open("plan", plan)
        return chunks

    def all(self) -> None:
        for chunk in self.to_the_plan():
            for room, door in [
                ("letter", write_letters), ("check_letters", check_letters), ("send", send),
            ]:  # fmt: skip
                self.open(room, door, chunk)
        self.open("settle", settle)
        self.open("shred", shred)


def events(practice: Practice) -> list[dict[str, Any]]:
    found = practice.rows(
        "SELECT convert_from(entry, 'UTF8') AS entry FROM ledger_entry"
        " WHERE kind = 'run_event' ORDER BY index"
    )
    return [json.loads(str(row["entry"]))["body"] for row in found]


def told(practice: Practice) -> list[tuple[str, str]]:
    return [(one["job"]["name"].partition(".")[2], one["eventType"]) for one in events(practice)]


@pytest.fixture
def corridor(practice: Practice) -> Corridor:
    for key in ("p0", "p1", "p2"):
        practice.world.patient(key)
    return Corridor(practice)


def test_a_whole_day_leaves_a_beginning_and_an_end_of_every_task_and_nothing_of_a_patient(
    corridor: Corridor,
) -> None:
    corridor.practice.world.patient("p3", contact={"verified_at": None})
    corridor.all()
    rooms = ["preflight", "extract", "gate", "plan", "letter", "check_letters", "send", "settle"]
    assert told(corridor.practice) == [
        (room, kind) for room in [*rooms, "shred"] for kind in ("START", "COMPLETE")
    ]
    by_room = {
        one["job"]["name"].partition(".")[2]: one
        for one in events(corridor.practice)
        if one["eventType"] == "COMPLETE"
    }
    decided = by_room["extract"]["run"]["facets"]["reengage_consentGate"]
    assert (decided["candidates"], decided["eligible"]) == (4, 3)
    assert {one["reason"]: one["patients"] for one in decided["excluded"]} == {
        "address_unverified": 1
    }
    asserted = [
        one
        for source in by_room["gate"]["inputs"]
        for one in source.get("inputFacets", {})
        .get("dataQualityAssertions", {})
        .get("assertions", [])
    ]
    assert len(asserted) > 20
    assert all(one["success"] for one in asserted)
    sent = by_room["send"]["run"]["facets"]
    assert sent["reengage_disclosureBatch"]["letters"] == [{"outcome": "sent", "letters": 3}]
    [way] = sent["reengage_transportEvidence"]["connections"]
    assert (way["letters"], way["tlsVersion"]) == (3, "TLSv1.3")
    ledger = str(corridor.practice.rows("SELECT convert_from(entry, 'UTF8') FROM ledger_entry"))
    for secret in (CANARY, "Givenp0", "Clinic p0", "'p0'", '"p0"', "68102"):
        assert secret not in ledger


def test_the_end_commits_with_the_work_or_neither_does(corridor: Corridor) -> None:
    """The store dies at the very commit: no counts of the extraction, and no COMPLETE."""
    corridor.preflight()
    assert corridor.run
    run = replace(corridor.run, trail=corridor.begin("extract"))

    def die(_: Any) -> None:
        raise StoreError("the store died at the commit")

    event.listen(run.store, "commit", die)
    try:
        with pytest.raises(StoreError):
            extract(run)
    finally:
        event.remove(run.store, "commit", die)
    [counted] = corridor.practice.rows("SELECT candidates FROM run")
    assert counted["candidates"] is None
    assert told(corridor.practice)[-1] == ("extract", "START")
    trail.failed(corridor.practice.settings, CAMPAIGN, run.trail, "StoreError: it died")  # type: ignore[arg-type]
    last = events(corridor.practice)[-1]
    assert last["eventType"] == "FAIL"
    assert last["run"]["facets"]["errorMessage"]["message"] == "StoreError: it died"
    # A second word on the same try is not recorded: one end.
    trail.failed(corridor.practice.settings, CAMPAIGN, run.trail, "again")  # type: ignore[arg-type]
    assert len(events(corridor.practice)) == 4


def test_a_red_gate_ends_as_failed_with_its_verdicts(
    corridor: Corridor, monkeypatch: pytest.MonkeyPatch
) -> None:
    corridor.preflight()
    corridor.open("extract", extract)
    corridor.practice.world.change("contact", "p0", verified_at=None)
    assert corridor.run
    run = replace(corridor.run, trail=corridor.begin("gate"))
    with pytest.raises(GateError):
        gates.gate(run)
    last = events(corridor.practice)[-1]
    assert (last["eventType"], run.trail and run.trail.ended) == ("FAIL", True)
    assert "GateError: " in last["run"]["facets"]["errorMessage"]["message"]
    failed = {
        (one["assertion"], one.get("column"))
        for source in last["inputs"]
        for one in source.get("inputFacets", {})
        .get("dataQualityAssertions", {})
        .get("assertions", [])
        if not one["success"]
    }
    assert any(column == "address_verified" for _, column in failed)
    [kept] = corridor.practice.rows("SELECT gate FROM run")
    assert kept["gate"] == "red"


def test_a_try_that_waited_goes_on_and_one_that_ended_does_not_begin_again(
    corridor: Corridor,
) -> None:
    corridor.begin("extract")
    corridor.begin("extract")
    assert told(corridor.practice) == [("extract", "START"), ("extract", "RUNNING")]
    corridor.preflight()
    with pytest.raises(LedgerError, match="ended"):
        corridor.begin("preflight")


def test_a_task_that_was_given_up_and_still_lives_commits_nothing_more(
    corridor: Corridor,
) -> None:
    """Airflow called it dead and the audit closed its try; its work must not count (OLN-02)."""
    corridor.preflight()
    assert corridor.run
    run = replace(corridor.run, trail=corridor.begin("extract"))
    closed = {**events(corridor.practice)[-1], "eventType": "ABORT"}
    with run.store.begin() as connection:
        append(connection, run.keyring, [run_event(closed)])
    with pytest.raises(LedgerError, match="ended"):
        extract(run)
    [counted] = corridor.practice.rows("SELECT candidates FROM run")
    assert counted["candidates"] is None
    assert told(corridor.practice)[-1] == ("extract", "ABORT")


def test_nothing_begins_where_the_ledger_cannot_be_written(corridor: Corridor) -> None:
    corridor.practice.spoil("ALTER TABLE ledger_head RENAME TO gone")
    with pytest.raises(StoreError, match="nothing was begun"):
        corridor.begin("extract")


def test_an_altered_head_stops_the_next_task(corridor: Corridor) -> None:
    corridor.begin("preflight")
    corridor.practice.spoil(
        "ALTER TABLE ledger_head DISABLE TRIGGER ALL",
        "UPDATE ledger_head SET size = 0, peaks = ''",
    )
    with pytest.raises(LedgerError, match="head of the ledger"):
        corridor.begin("extract")
