"""What a real Airflow leaves in the ledger: every try begins and ends, in events anyone can check.

The run ids are those of Airflow's own OpenLineage provider, whose events lie in the lineage file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from openlineage_spec import Spec
from reengage.keys import open_keyring
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.signers import verifiers
from reengage.ledger.verify import verify
from sqlalchemy import create_engine

from whole_run.conftest import House

pytestmark = pytest.mark.long

SLUG = "ledgered"
ROOMS = ("preflight", "extract", "gate", "plan", "letter", "check_letters", "send", "settle")


@pytest.fixture(scope="module")
def played(house: House) -> House:
    """A day of the campaign, whole."""
    state, _ = house.run(SLUG)
    assert state == "success"
    return house


def ours(house: House) -> list[dict[str, Any]]:
    """Run events of the ledger, all campaigns."""
    found = house.rows(
        "SELECT convert_from(entry, 'UTF8') FROM ledger_entry WHERE kind = 'run_event'"
        " ORDER BY index"
    )
    return [json.loads(entry)["body"] for (entry,) in found]


def providers(house: House) -> list[dict[str, Any]]:
    """Events of Airflow's provider."""
    return [json.loads(line) for line in house.site.layout.lineage.read_text().splitlines()]


def names(datasets: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["namespace"], one["name"]) for one in datasets}


def parent(event: dict[str, Any]) -> str:
    """Run id of the DAG run."""
    run_id: str = event["run"]["facets"]["parent"]["run"]["runId"]
    return run_id


def of_campaign(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in events if one["job"]["name"].startswith(f"reengage_{SLUG}.")]


def test_every_event_of_a_real_run_is_valid(played: House, openlineage: Spec) -> None:
    events = ours(played)
    assert len(events) >= 2 * len(ROOMS)
    assert {fault for event in events for fault in openlineage.faults(event)} == set()


def test_every_task_begins_once_and_ends_once(played: House) -> None:
    kinds: dict[str, list[str]] = defaultdict(list)
    jobs = set()
    for event in of_campaign(ours(played)):
        kinds[event["run"]["runId"]].append(event["eventType"])
        jobs.add(event["job"]["name"].partition(".")[2])
    assert jobs == {*ROOMS, "shred"}
    assert all(found == ["START", "COMPLETE"] for found in kinds.values())


def test_the_runs_are_those_of_airflows_provider_with_the_same_datasets(played: House) -> None:
    told: dict[str, dict[str, Any]] = {}
    for event in of_campaign(providers(played)):
        if event["eventType"] == "COMPLETE":
            told[event["run"]["runId"]] = event
    kept = {
        event["run"]["runId"]: event
        for event in of_campaign(ours(played))
        if event["eventType"] == "COMPLETE"
    }
    assert set(told) == set(kept)
    for run_id, event in kept.items():
        other = told[run_id]
        assert other["job"]["name"] == event["job"]["name"]
        assert parent(other) == parent(event)
        assert names(other["inputs"]) == names(event["inputs"]), event["job"]["name"]
        assert names(other["outputs"]) == names(event["outputs"]), event["job"]["name"]


def test_the_ledger_of_all_that_was_played_is_sound(played: House) -> None:
    keyring = open_keyring(played.site.layout.keyring)
    engine = create_engine(played.site.postgres.url("store"))
    with engine.connect() as connection:
        verdict = verify(
            connection,
            keys=verifiers(keyring.directory),
            checkpoints=Checkpoints(str(keyring.directory / "checkpoints")),
            keyring=keyring,
        )
    engine.dispose()
    assert [str(finding) for finding in verdict.findings] == []
    assert verdict.size > 50


def test_every_letter_that_went_out_has_its_record(played: House) -> None:
    found = played.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,letter}' FROM ledger_entry"
        " WHERE kind = 'disclosure' AND convert_from(entry, 'UTF8')::jsonb #>> '{body,campaign}' ="
        f" '{SLUG}' AND convert_from(entry, 'UTF8')::jsonb #>> '{{body,outcome}}' = 'sent'"
    )
    sent = played.rows(
        "SELECT CAST(letter_id AS text) FROM letter WHERE campaign = :s AND state = 'sent'", s=SLUG
    )
    assert sorted(found) == sorted(sent)
    assert sent
