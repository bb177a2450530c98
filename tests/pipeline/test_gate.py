"""Gate: for each expectation a bad batch that it catches, alone or with the companions named here;
a red gate is recorded without values and stops the run before any letter exists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from daily import Practice, dry_practice
from reengage import staging
from reengage.embedded import postgres
from reengage.errors import GateError
from reengage.pipeline import gate as gates
from reengage.pipeline.extract import cohort_parameters, extract
from reengage.pipeline.gate import _hand_over, gate
from reengage.pipeline.plan import plan
from reengage.pipeline.run import Run
from reengage.settings import HOME
from reengage.sql import load_sql
from sqlalchemy import text
from world import DAY, NOW, World

EDUCATION = "health_education"
MEDICATION = "medication_reminder"
MIDNIGHT = datetime.combine(DAY + timedelta(days=1), time(), ZoneInfo("America/Chicago"))

Change = Callable[[World, str], None]
Tamper = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
Red = set[str]


@pytest.fixture(scope="module")
def shared(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    """One practice for all cases: its runs are dry, and none knows of another."""
    with dry_practice(server, tmp_path_factory.mktemp("gate")) as practice:
        yield practice


@pytest.fixture
def practice(shared: Practice) -> Practice:  # the practice of conftest, but cheaper
    with shared.world.engine.begin() as connection:
        views = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'contract'")
        ).scalars()
        for view in list(views):
            connection.execute(text(f'TRUNCATE contract."{view}"'))
    shared.world.set("load", source="test", loaded_at=NOW, data_until=NOW)
    return shared


def extracted(practice: Practice, campaign: str = EDUCATION, patients: int = 2) -> Run:
    """A run with a sound batch."""
    for number in range(patients):
        practice.world.patient(
            f"p{number}", **({"appointment": None} if campaign == EDUCATION else {})
        )
    run = practice.open(campaign, dry=True)
    assert extract(run).eligible == patients
    return run


def tampered(run: Run, tamper: Tamper) -> None:
    """Stage the rows anew, changed."""
    with run.store.begin() as connection:
        numbers = staging.part_numbers(connection, run.run_id)
        parts = list(staging.read_parts(connection, run.data_key, numbers))
        staging.clear_batch(connection, run.run_id)
        rows = tamper([row for part in parts for row in part])
        for number, start in enumerate(range(0, len(rows), staging.PART_PATIENTS)):
            some = rows[start : start + staging.PART_PATIENTS]
            staging.write_part(connection, run.data_key, number, some)


def verdicts(practice: Practice, run: Run) -> list[dict[str, Any]]:
    [row] = practice.rows("SELECT verdicts FROM run WHERE run_id = :r", r=run.run_id)
    return row["verdicts"]  # type: ignore[return-value]


def assert_red(practice: Practice, run: Run, expected: Red) -> None:
    """Exactly these are red; the error names those of the first red suite; nothing goes on."""
    with pytest.raises(GateError) as refused:
        gate(run)
    red = [v for v in verdicts(practice, run) if not v["success"]]
    assert {f"{v['suite']} {_shown(v)}" for v in red} == expected
    first = red[0]["suite"]
    for verdict in red:
        if verdict["suite"] == first:
            named = verdict["type"] + (f" on {verdict['column']}" if verdict["column"] else "")
            assert named in str(refused.value)
    assert f"expectations/{first}.json" in str(refused.value)
    [row] = practice.rows("SELECT gate FROM run WHERE run_id = :r", r=run.run_id)
    assert row == {"gate": "red"}
    with pytest.raises(GateError, match="the gate has not passed this batch; clear `gate`"):
        plan(run)


def _shown(verdict: dict[str, Any]) -> str:
    kind = verdict["type"].removeprefix("expect_").removeprefix("column_values_to_")
    shown = f"{verdict['column'] or ''} {kind}".strip()
    return shown if verdict["evaluated"] else f"{shown} (not evaluated)"


def all_rows(**changes: Any) -> Tamper:
    return lambda rows: [{**row, **changes} for row in rows]


def one_row(**changes: Any) -> Tamper:
    return lambda rows: [{**rows[0], **changes}, *rows[1:]]


# --- the batch ---

BATCH: dict[str, tuple[Tamper, Red]] = {
    "a column too many": (
        all_rows(**{"patient.birth_date": date(1970, 1, 1)}),
        {"batch table_columns_to_match_set"},
    ),
    "a column too many in one row": (
        one_row(zip="68102"),
        {"batch table_columns_to_match_set"},
    ),
    "a declared column is missing": (
        lambda rows: [{k: v for k, v in r.items() if k != "patient.given_name"} for r in rows],
        {"batch table_columns_to_match_set"},
    ),
    "a row without its patient": (
        one_row(patient_key=None),
        {
            "batch patient_key not_be_null",
            *(
                f"cohort {fact} be_in_set"
                for fact in (
                    "alive", "inactive", "consented", "unrevoked", "addressee_right",
                    "address_verified", "programme_nameable",
                )
            ),
        },
    ),
    "a patient staged twice": (
        lambda rows: [*rows, rows[0]],
        {"batch patient_key be_unique", "cohort patient_key be_unique"},
    ),
    "no address": (
        one_row(recipient=None),
        {
            "batch recipient not_be_null",
            "cohort addressee_right be_in_set",
            "cohort address_verified be_in_set",
        },
    ),
    "no authorization cited": (
        one_row(authorization_key=None),
        {"batch authorization_key not_be_null", "cohort unrevoked be_in_set"},
    ),
    "no language": (one_row(language=None), {"batch language not_be_null"}),
    "a language without a template": (one_row(language="fr"), {"batch language be_in_set"}),
    "no time zone": (one_row(time_zone=None), {"batch time_zone not_be_null"}),
    "no period": (one_row(period_key=None), {"batch period_key not_be_null"}),
    "no end of its time": (one_row(expires_at=None), {"batch expires_at not_be_null"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCH)
def test_a_batch_that_is_not_as_promised_is_red(name: str, practice: Practice) -> None:
    """PRV-01, PRV-18, PRV-20, PRV-23."""
    tamper, red = BATCH[name]
    run = extracted(practice)
    tampered(run, tamper)
    assert_red(practice, run, red)


def test_an_address_that_could_break_a_header_is_red(practice: Practice) -> None:
    """EML-02: the warehouse has it so, only the form of it is wrong."""
    run = extracted(practice)
    address = "p0@example.org\r\nBcc: x@example.org"
    practice.world.change("contact", "p0", email=address)
    tampered(run, one_row(recipient=address))  # as if the extraction had let it pass
    assert_red(practice, run, {"batch recipient match_regex"})


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


# --- the cohort, asked of the sources after the extraction ---


def add(view: str, **row: Any) -> Change:
    return lambda world, key: world.set(view, patient_key=key, **row)


def alter(view: str, **row: Any) -> Change:
    return lambda world, key: world.change(view, key, **row)


def remove(view: str) -> Change:
    return lambda world, key: world.execute(
        f'DELETE FROM contract."{view}" WHERE patient_key = :key', key=key
    )


def in_turn(*changes: Change) -> Change:
    def change(world: World, key: str) -> None:
        for one in changes:
            one(world, key)

    return change


def moved(world: World, key: str) -> None:
    """Another address; the old one is somebody else's verified address still."""
    old = {**PARENT, "email": f"{key}@example.org"}
    in_turn(alter("contact", email="new@example.org"), add("representative", **old))(world, key)


PARENT = {
    "representative_key": "parent", "authority": "parent", "blocked": False,
    "email": "p0@example.org", "verified_at": NOW - timedelta(days=9),
}  # fmt: skip


def theirs(**changes: Any) -> Change:
    """A parent has the very address that the row is staged with."""
    return lambda world, key: world.set(
        "representative",
        **{**PARENT, "patient_key": key, "email": f"{key}@example.org", **changes},
    )


def another_form(world: World, key: str, **changes: Any) -> None:
    """A second form of the patient's, like the first but for these columns."""
    world.execute(
        'INSERT INTO contract."authorization" SELECT (one.form).* FROM'
        " (SELECT jsonb_populate_record(a, CAST(:changes AS jsonb)) AS form"
        ' FROM contract."authorization" a WHERE patient_key = :key) one',
        key=key,
        changes=json.dumps(changes, default=str),
    )


def instead(**fault: Any) -> Change:
    """The form that the row cites has a fault by now, and another one is sound."""

    def change(world: World, key: str) -> None:
        another_form(world, key, authorization_key="other")
        changes = ", ".join(f"{name} = :{name}" for name in fault)
        world.execute(
            f'UPDATE contract."authorization" SET {changes}'
            " WHERE patient_key = :key AND authorization_key <> 'other'",
            key=key,
            **fault,
        )

    return change


FORM = {"consented", "unrevoked"}
ADDRESS = {"addressee_right", "address_verified"}
VISIT = {"visit_key": "new", "status": "finished"}
LAST = MIDNIGHT - timedelta(microseconds=1)

COHORT: dict[str, tuple[Change, Red]] = {
    "died on the day": (alter("patient", death_date=DAY), {"alive"}),
    "no patient of the warehouse any more": (
        remove("patient"), {"alive", "addressee_right", "address_verified", "programme_nameable"}
    ),
    "came back": (add("visit", start_at=LAST, **VISIT), {"inactive"}),
    "was never seen": (remove("visit"), {"inactive"}),
    "the visit long ago was cancelled": (alter("visit", status="cancelled"), {"inactive"}),
    "the form expired": (
        alter("authorization", expires_on=DAY - timedelta(days=1)), FORM
    ),
    **{
        f"the form lost {part}": (alter("authorization", **{part: None}), FORM)
        for part in ("information", "discloser", "recipient", "purpose_text", "form_version",
                     "expires_event", "signed_at")
    },
    **{
        f"the form says no {part}": (alter("authorization", **{part: False}), FORM)
        for part in ("notice_revocation", "notice_conditioning", "notice_redisclosure")
    },
    "signed after the day": (alter("authorization", signed_at=MIDNIGHT), FORM),
    "revoked": (alter("authorization", revoked_at=LAST), FORM),
    "no form any more": (remove("authorization"), FORM),
    "revoked, and another form is good": (instead(revoked_at=LAST), {"unrevoked"}),
    "expired, and another form is good": (
        instead(expires_on=DAY - timedelta(days=1)), {"unrevoked"}
    ),
    "cites an incomplete form, and another is good": (instead(information=None), {"unrevoked"}),
    "cites a form of another purpose": (instead(purpose="marketing"), {"unrevoked"}),
    "opted out": (add("opt_out", campaign=None, at=LAST), {"not_opted_out"}),
    "opted out of this campaign": (add("opt_out", campaign=EDUCATION, at=NOW), {"not_opted_out"}),
    "restricted": (add("restriction", kind="x", since=LAST), {"unrestricted"}),
    "asked for the post": (alter("contact", confidential_channel="post"), {"channel_allowed"}),
    "has another address": (moved, ADDRESS),
    "is a minor after all": (alter("patient", birth_date=date(2010, 1, 1)), ADDRESS),
    "nobody knows the age": (alter("patient", birth_date=None), ADDRESS),
    "the parent is blocked": (
        in_turn(
            alter("patient", birth_date=date(2010, 1, 1)),
            add("representative", **{**PARENT, "blocked": True}),
        ),
        ADDRESS,
    ),
    "only the parent's address is confirmed": (
        in_turn(alter("contact", verified_at=None), theirs()), {"address_verified"}
    ),
    "only the minor's own address is confirmed": (
        in_turn(alter("patient", birth_date=date(2010, 1, 1)), theirs(verified_at=None)),
        {"address_verified"},
    ),
    "the address is not confirmed": (alter("contact", verified_at=None), {"address_verified"}),
    "in a sensitive programme": (
        alter("patient", sensitive_programme=True), {"programme_nameable"}
    ),
    "programme unknown": (alter("patient", sensitive_programme=None), {"programme_nameable"}),
}  # fmt: skip


FACTS = (
    "alive", "inactive", "consented", "unrevoked", "not_opted_out", "unrestricted",
    "channel_allowed", "addressee_right", "address_verified", "programme_nameable",
    "medicine_nameable",
)  # fmt: skip


def facts(practice: Practice, run: Run, parameters: dict[str, object]) -> list[dict[str, Any]]:
    """What the gate would have Great Expectations look at."""
    with practice.world.engine.connect() as connection:
        connection.execute(text(load_sql(HOME, "gate/session.sql")))
        _hand_over(run, connection)
        connection.execute(text(load_sql(HOME, "gate/cohort.sql")), parameters)
        rows = connection.execute(text("SELECT * FROM cohort")).mappings().all()
        connection.rollback()
    return [dict(row) for row in rows]


def test_the_sources_are_asked_one_fact_at_a_time(practice: Practice) -> None:
    """PRV-01, PRV-02, PRV-04, PRV-06, PRV-15 to PRV-17, PRV-21 to PRV-23, PRV-29, EML-26."""
    run = extracted(practice, patients=len(COHORT))
    keys = {f"p{number}": name for number, name in enumerate(COHORT)}
    for key, name in keys.items():
        COHORT[name][0](practice.world, key)
    rows = facts(practice, run, cohort_parameters(run))
    found = {keys[row["patient_key"]]: {f for f in FACTS if not row[f]} for row in rows}
    assert found == {name: false for name, (_, false) in COHORT.items()}
    assert set(rows[0]) == {"patient_key", *FACTS}


CASE = {
    fact: min((case for case in COHORT.values() if fact in case[1]), key=lambda case: len(case[1]))
    for fact in FACTS
    if fact != "medicine_nameable"
}
"""For each fact a case in which it is not so, and as little else as can be."""


@pytest.mark.parametrize("fact", CASE)
def test_what_the_sources_say_by_now_turns_the_gate_red(fact: str, practice: Practice) -> None:
    change, red = CASE[fact]
    run = extracted(practice)
    change(practice.world, "p0")
    assert_red(practice, run, {f"cohort {one} be_in_set" for one in red})


def test_every_purpose_needs_a_form_that_is_not_revoked(practice: Practice) -> None:
    """PRV-06, PRV-08: the row cites the form of one purpose; that of the other is revoked."""
    run = extracted(practice, patients=1)
    another_form(
        practice.world, "p0", authorization_key="ads", purpose="marketing", revoked_at=LAST
    )
    parameters = {**cohort_parameters(run), "consent_purposes": ["marketing", "email"]}
    [row] = facts(practice, run, parameters)
    assert (row["consented"], row["unrevoked"]) == (False, True)
    practice.world.execute(
        "UPDATE contract.\"authorization\" SET revoked_at = NULL WHERE purpose = 'marketing'"
    )
    [row] = facts(practice, run, parameters)
    assert (row["consented"], row["unrevoked"]) == (True, True)


def test_a_sensitive_medicine_turns_the_gate_red(practice: Practice) -> None:
    """PRV-32."""
    run = extracted(practice, MEDICATION)
    practice.world.change("medication", "p0", sensitive_class="hiv")
    assert_red(practice, run, {"cohort medicine_nameable be_in_set"})


def test_what_lies_beyond_the_day_leaves_the_gate_green(practice: Practice) -> None:
    run = extracted(practice)
    alter("patient", death_date=DAY + timedelta(days=1))(practice.world, "p0")
    alter("authorization", revoked_at=MIDNIGHT, expires_on=DAY)(practice.world, "p0")
    add("visit", start_at=MIDNIGHT, **VISIT)(practice.world, "p0")
    add("opt_out", campaign=None, at=MIDNIGHT)(practice.world, "p0")
    add("opt_out", campaign=MEDICATION, at=NOW)(practice.world, "p0")
    add("restriction", kind="x", since=MIDNIGHT)(practice.world, "p0")
    add("restriction", kind="x", since=NOW - timedelta(days=9), until=LAST - timedelta(days=1))(
        practice.world, "p0"
    )
    assert gate(run) == len(verdicts(practice, run))


# --- the source ---


def load(world: World, *until: datetime | None) -> None:
    world.execute("TRUNCATE contract.load")
    for instant in until:
        world.set("load", source="test", loaded_at=NOW, data_until=instant)


STALE = MIDNIGHT - timedelta(days=4)
SOURCE: dict[str, tuple[Callable[[World], None], Red]] = {
    "the data end four days before": (lambda w: load(w, STALE), {"stale_days be_between"}),
    "nobody knows where the data end": (lambda w: load(w, None), {"stale_days not_be_null"}),
    "two loads": (lambda w: load(w, NOW, NOW), {"table_row_count_to_equal"}),
    "no load": (load, {"table_row_count_to_equal"}),
}


@pytest.mark.parametrize("name", SOURCE)
def test_a_warehouse_that_is_stale_or_unsaid_is_red(name: str, practice: Practice) -> None:
    change, red = SOURCE[name]
    run = extracted(practice)
    change(practice.world)
    assert_red(practice, run, {f"source {fact}" for fact in red})


def test_an_empty_warehouse_is_a_failed_load(practice: Practice) -> None:
    run = extracted(practice, patients=0)
    assert_red(practice, run, {"source patients be_between"})


@pytest.mark.parametrize("until", [STALE + timedelta(seconds=1), MIDNIGHT + timedelta(days=900)])
def test_a_load_three_days_old_or_ahead_of_a_replay_is_green(
    until: datetime, practice: Practice
) -> None:
    run = extracted(practice)
    load(practice.world, until)
    gate(run)
    [found] = practice.rows("SELECT gate FROM run WHERE run_id = :r", r=run.run_id)
    assert found == {"gate": "green"}


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
    run = extracted(practice)
    tampered(run, all_rows(language="canary", **{"canary.column": "canary"}))
    with pytest.raises(GateError) as refused:
        gate(run)
    kept = verdicts(practice, run)
    assert {frozenset(v) for v in kept} == {
        frozenset({"suite", "type", "column", "severity", "success", "evaluated"})
    }
    assert "canary" not in json.dumps(kept) + str(refused.value)
    wanted = [
        (suite, entry["type"])
        for suite in ("batch", "cohort", "source")
        for entry in json.loads((HOME / "expectations" / f"{suite}.json").read_text())[
            "expectations"
        ]
    ]
    assert sorted((v["suite"], v["type"]) for v in kept) == sorted(wanted)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patients a frame, one a part."""
    monkeypatch.setattr(staging, "PART_PATIENTS", 1)
    monkeypatch.setattr(gates, "FRAME_PARTS", 2)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_bad_row_in_any_frame_of_a_large_batch_is_seen(position: int, practice: Practice) -> None:
    run = extracted(practice, patients=5)
    assert gate(run) == len(verdicts(practice, run))

    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[position]["language"] = None
        return rows

    tampered(run, spoil)
    assert_red(practice, run, {"batch language not_be_null"})


@pytest.mark.usefixtures("small")
def test_a_patient_staged_twice_is_seen_across_frames(practice: Practice) -> None:
    run = extracted(practice, patients=4)
    tampered(run, lambda rows: [*rows, rows[0]])
    assert_red(practice, run, {"cohort patient_key be_unique"})


def test_extracting_again_takes_the_verdict_back(practice: Practice) -> None:
    run = extracted(practice)
    gate(run)
    extract(run)
    with pytest.raises(GateError, match="the gate has not passed this batch; clear `gate`"):
        plan(run)
