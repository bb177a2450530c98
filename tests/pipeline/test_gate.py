"""Gate: what it looks at and keeps; a red one is recorded without values and stops the run before
any letter exists. Each expectation's bad batch: test_gate_suites.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from daily import Practice
from eligibility import (
    ADULT,
    APPOINTMENT,
    BY_PARENT,
    CHICAGO,
    LAST,
    MEDICATION,
    MIDNIGHT,
    MINOR,
    ONE_DAY,
    PARENT,
    fill,
)
from eligibility import case as patient
from gates import (
    SUITES,
    all_rows,
    assert_red,
    batch_of,
    emptied,
    extracted,
    gate_practice,
    tampered,
    verdicts,
)
from reengage import staging
from reengage.embedded import postgres
from reengage.errors import GateError
from reengage.notes import note_of
from reengage.pipeline.asking import asking
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import _hand_over, gate
from reengage.pipeline.plan import plan
from reengage.pipeline.run import Run
from reengage.settings import HOME
from reengage.sql import load_sql
from sqlalchemy import text
from world import DAY, NOW


@pytest.fixture(scope="module")
def shared(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    with gate_practice(server, tmp_path_factory.mktemp("gate")) as practice:
        yield practice


@pytest.fixture
def practice(shared: Practice) -> Practice:  # the practice of conftest, but cheaper
    return emptied(shared)


@pytest.mark.parametrize(
    ("address", "sound"),
    [
        ("jo@example.org", True), ("o'brien+x_%@mail.ex-ample.co", True), ("a.b@example.org", True),
        ("jo@example.org\n", False), ("jo\n@example.org", False), ("", False), ("jo", False),
        ("@example.org", False), ("jo@localhost", False), ("jo@@example.org", False),
        (".jo@example.org", False), ("jo.@example.org", False), ("j..o@example.org", False),
        ("jo smith@example.org", False), (" jo@example.org", False), ("jo@example.org ", False),
        ('"jo"@example.org', False), ("jo@-example.org", False), ("jo@example-.org", False),
        ("jo@example.org,x@example.org", False), ("Jo <jo@example.org>", False),
        ("jo@exämple.org", False), ("jö@example.org", False), ("jo@[127.0.0.1]", False),
    ],
)  # fmt: skip
def test_the_suites_pattern_takes_plain_addresses_only(address: str, sound: bool) -> None:
    suite = json.loads((HOME / "expectations" / "batch.json").read_text())
    [pattern] = [e["kwargs"]["regex"] for e in suite["expectations"] if "regex" in e["kwargs"]]
    assert bool(re.match(pattern, address)) == sound


# --- what a staged row says, held against the sources ---

OTHERS = {"email": "else@example.org"}
CHILD = {"patient": MINOR, "forms": BY_PARENT}


def theirs(**changes: Any) -> list[dict[str, Any]]:
    """A parent who has the very address that the row is staged with."""
    return [{**PARENT, "email": "case000@example.org", **changes}]


STAGED: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    # what is odd in the warehouse, how the row is staged, what is not so
    "nothing": ({}, {}, set()),
    "no patient of the warehouse": ({"patient": None}, {}, {
        "alive", "addressee_right", "consented", "form_sound", "address_verified"}),
    "never seen": ({"visit": None}, {}, {"inactive"}),
    "the only visit was cancelled": ({"visit": {"status": "cancelled"}}, {}, {"inactive"}),
    "has moved, the old address is a parent's": (
        {"contact": OTHERS, "representative": theirs()}, {}, {"addressee_right"}),
    "only the parent's address is confirmed": (
        {"contact": {"verified_at": None}, "representative": theirs()}, {}, {"address_verified"}),
    "a minor, written to at the parent's": (
        {**CHILD, "representative": theirs()}, {}, set()),
    "a minor, written to at their own": (
        {**CHILD, "representative": [PARENT]}, {}, {"addressee_right"}),
    "only the minor's own address is confirmed": (
        {**CHILD, "representative": theirs(verified_at=None)}, {}, {"address_verified"}),
    "a minor, written to at a blocked parent's": (
        {**CHILD, "representative": [
            PARENT, *theirs(representative_key="other", blocked=True)]}, {}, {"addressee_right"}),
    "a minor, written to at a limited parent's": (
        {**CHILD, "representative": [
            PARENT, *theirs(representative_key="other", limited_by="law_or_court")]}, {},
        {"addressee_right"}),
    "of age by now, written to at the parent's": (
        {"patient": ADULT, "forms": {"signed_at": NOW}, "contact": OTHERS,
         "representative": theirs()}, {}, {"addressee_right"}),
    "cites the form of somebody else": ({}, {"authorization_key": "a stranger's"}, {"form_sound"}),
    "cites a form of another purpose": (
        {}, {"authorization_key": "marketing-case000"}, {"form_sound"}),
    "cites a form that was revoked, the newer is sound": (
        {"email": {"revoked_at": NOW - timedelta(days=50)},
         "more": [{"authorization_key": "newer", "signed_at": NOW - ONE_DAY}]}, {},
        {"form_sound"}),
    "a minor, written to at the other parent's, who did not sign": (
        {**CHILD, "representative": [PARENT, *theirs(representative_key="other")]}, {},
        {"addressee_right"}),
    "a minor, written to at that of who signed before": (
        {**CHILD, "more": [{"authorization_key": "newer", "signed_at": NOW - ONE_DAY,
                            "representative_key": "other"}],
         "representative": [*theirs(), {**PARENT, "representative_key": "other"}]}, {},
        {"addressee_right"}),
    "a minor, whose limited parent signed": (
        {**CHILD, "representative": theirs(limited_by="law_or_court")}, {},
        {"consented", "form_sound", "addressee_right", "address_verified"}),
    "of age on 1 March, signed on 28 February": (
        {"patient": {"birth_date": date(2004, 2, 29)},
         "forms": {"signed_at": datetime(2022, 2, 28, 23, 59, tzinfo=CHICAGO)}}, {},
        {"consented", "form_sound"}),
    "of age on 1 March, signed then": (
        {"patient": {"birth_date": date(2004, 2, 29)},
         "forms": {"signed_at": datetime(2022, 3, 1, tzinfo=CHICAGO)}}, {}, set()),
    "at a place that betrays": (
        {"appointment": {"location": "HIV/AIDS Clinic, Omaha"}}, {}, {"place_nameable"}),
    "of a kind of care that betrays": (
        {"appointment": {"service_line": "BEHAVIORAL_HEALTH"}}, {}, {"place_nameable"}),
    "at a place with a part of such a word": (
        {"appointment": {"location": "Stigler Clinic"}}, {}, set()),
    "another appointment of theirs betrays": (
        {"appointment": [{}, {"appointment_key": "earlier", "service_line": "HIV",
                              "start_at": NOW + ONE_DAY}]}, {}, set()),
    "about somebody else's appointment": (
        {}, {"appointment_key": "a stranger's"}, {"subject_stands"}),
    "about no appointment": ({}, {"appointment_key": None}, {"subject_stands"}),
    "about an appointment that is another one's by now": (
        {"appointment": {"patient_key": "another"}}, {}, {"subject_stands"}),
}  # fmt: skip


def row_of(key: str) -> dict[str, Any]:
    """A sound row of the appointment reminder."""
    return {
        "patient_key": key,
        "recipient": f"{key}@example.org",
        "authorization_key": f"authorization-{key}",
        "appointment_key": f"appointment-{key}",
        "medication_key": None,
    }


def test_the_sources_are_asked_one_fact_at_a_time(practice: Practice) -> None:
    """PRV-01, PRV-06, PRV-15, PRV-16, PRV-18, PRV-21, PRV-23: all in one statement."""
    cases = []
    for number, (name, (odd, _, _)) in enumerate(STAGED.items()):
        key = f"case{number:03}"
        own = json.loads(json.dumps(odd, default=str).replace("case000", key))
        cases.append(patient(name, "", campaigns=APPOINTMENT, **own))
    keys = fill(practice.world, cases)
    rows = [
        {**row_of(key), **json.loads(json.dumps(STAGED[name][1]).replace("case000", key))}
        for key, name in keys.items()
    ]
    found = {
        keys[row.pop("patient_key")]: {fact for fact, is_so in row.items() if not is_so}
        for row in facts(practice, practice.open(APPOINTMENT, dry=True), rows)
    }
    assert found == {name: wrong for name, (_, _, wrong) in STAGED.items()}


def facts(practice: Practice, run: Run, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the gate would have Great Expectations look at."""
    with run.store.begin() as store:
        staging.clear_batch(store, run.run_id)
        staging.write_part(store, run.data_key, 0, rows)
    with practice.world.engine.connect() as connection:
        connection.execute(text(load_sql(HOME, "gate/session.sql")))
        _hand_over(run, connection)
        asked = {**asking(run), "kind": "appointment"}
        connection.execute(text(load_sql(HOME, "gate/cohort.sql")), asked)
        found = connection.execute(text("SELECT * FROM cohort WHERE staged")).mappings().all()
        connection.rollback()
    return [dict(row) for row in found]


def test_what_changes_after_the_extraction_is_seen(practice: Practice) -> None:
    """The warehouse was loaded between the two: counts may differ a little, facts may not."""
    run, keys = extracted(practice, patients=2)
    practice.world.change("authorization", keys["p0"], revoked_at=LAST)
    practice.world.execute("UPDATE contract.load SET loaded_at = '2999-01-01'")
    assert_red(practice, run, {"cohort consented be_in_set", "cohort form_sound be_in_set"})


def test_what_lies_beyond_the_day_leaves_the_gate_green(practice: Practice) -> None:
    run, keys = extracted(
        practice,
        patients=1,
        patient={"death_date": DAY + ONE_DAY},
        email={"revoked_at": MIDNIGHT, "expires_on": DAY},
        visit=[{}, {"visit_key": "next", "start_at": MIDNIGHT}],
        opt_out=[{"campaign": None, "at": MIDNIGHT}, {"campaign": MEDICATION, "at": NOW}],
        restriction=[
            {"kind": "x", "since": MIDNIGHT},
            {"kind": "x", "since": NOW - timedelta(days=9), "until": LAST - ONE_DAY},
        ],
    )
    practice.world.execute(
        "UPDATE contract.load SET data_until = :until", until=MIDNIGHT + timedelta(days=9)
    )
    extract(run)
    assert {row["patient_key"] for row in batch_of(run)} == set(keys.values())
    assert gate(run) == len(verdicts(practice, run))


# --- the source ---


@pytest.mark.parametrize(
    "until", [MIDNIGHT - timedelta(days=4, seconds=-1), MIDNIGHT + timedelta(days=900)]
)
def test_a_load_three_days_old_or_ahead_of_a_replay_is_green(
    until: datetime, practice: Practice
) -> None:
    run, _ = extracted(practice)
    practice.world.execute("UPDATE contract.load SET data_until = :until", until=until)
    gate(run)
    [found] = practice.rows("SELECT gate FROM run WHERE run_id = :r", r=run.run_id)
    assert found == {"gate": "green"}


def test_a_warehouse_that_does_not_say_what_it_was_loaded_with_is_red(practice: Practice) -> None:
    run, _ = extracted(practice)
    practice.world.execute("DELETE FROM contract.load")
    assert_red(practice, run, {"source table_row_count_to_equal"})


# --- what is kept, and how much is looked at ---


def test_a_green_gate_is_recorded_and_an_empty_batch_is_green(practice: Practice) -> None:
    practice.world.patient("p0", visit={"start_at": NOW})
    run = practice.open(dry=True)
    assert extract(run).candidates == 0
    count = gate(run)
    kept = verdicts(practice, run)
    assert [v["success"] for v in kept] == [True] * count
    assert [v["evaluated"] for v in kept] == [True] * count
    assert practice.rows("SELECT gate FROM run WHERE run_id = :r", r=run.run_id) == [
        {"gate": "green"}
    ]
    assert plan(run) == []


def test_verdicts_hold_no_value_and_one_for_every_expectation(practice: Practice) -> None:
    """OLN-08."""
    run, _ = extracted(practice)
    tampered(run, all_rows(language="canary", **{"canary.column": "canary"}))
    with pytest.raises(GateError) as refused:
        gate(run)
    kept = verdicts(practice, run)
    assert {frozenset(v) for v in kept} == {
        frozenset({"suite", "type", "column", "severity", "success", "evaluated"})
    }
    assert "canary" not in json.dumps(kept) + str(refused.value)
    note = note_of(refused.value)  # PRV-27: names what failed, and not for how many
    assert note == f"GateError: {refused.value}"
    assert not any(map(str.isnumeric, note))
    wanted = [
        (suite, entry["type"])
        for suite in SUITES
        for entry in json.loads((HOME / "expectations" / f"{suite}.json").read_text())[
            "expectations"
        ]
    ]
    assert sorted((v["suite"], v["type"]) for v in kept) == sorted(wanted)


def test_extracting_again_takes_the_verdict_back(practice: Practice) -> None:
    run, _ = extracted(practice)
    gate(run)
    extract(run)
    with pytest.raises(GateError, match="the gate has not passed this batch; clear `gate`"):
        plan(run)
