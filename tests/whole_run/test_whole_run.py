"""The daily run in a real Airflow: run again, killed, cleared or retried, it writes once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from email import message_from_bytes

import pytest
from reengage.embedded.processes import wait_until
from sqlalchemy import create_engine, text

from whole_run.conftest import House

pytestmark = pytest.mark.long


MAPPED = ("letter", "check_letters", "send")


def test_a_second_run_of_the_day_has_nobody_to_write_to_and_still_ends_in_order(
    house: House,
) -> None:
    first, _ = house.run("twice")
    sent = house.delivered("twice")
    second, dag_run_id = house.run("twice")
    assert (first, second) == ("success", "success")
    assert len(sent) == len(house.delivered("twice")) == house.letters("twice")["sent"] > 0
    states = house.task_states("twice", dag_run_id)
    assert [states[task] for task in MAPPED] == [{"skipped"}] * 3
    assert states["settle"] == states["shred"] == {"success"}


def test_a_day_without_candidates_ends_green_with_its_totals(house: House) -> None:
    state, dag_run_id = house.run("twice", campaign_date="1950-01-01")
    assert state == "success"
    assert house.task_states("twice", dag_run_id)["settle"] == {"success"}
    [run] = house.rows(
        "SELECT mode, candidates, gate, finished_at IS NOT NULL, shredded_at IS NOT NULL"
        " FROM run WHERE dag_run_id = :id",
        id=dag_run_id,
    )
    assert run == ("replay", 0, "green", True, True)


def test_a_manual_run_for_a_past_day_is_rehearsed_and_opens_no_connection(house: House) -> None:
    before = len(list((house.site.layout.maildir / "new").iterdir()))
    state, dag_run_id = house.run("cleared", campaign_date="2025-02-01")
    assert state == "success"
    [(run_id,)] = house.rows("SELECT run_id FROM run WHERE dag_run_id = :id", id=dag_run_id)
    found = dict(
        house.rows("SELECT state, count(*) FROM letter WHERE run_id = :id GROUP BY 1", id=run_id)
    )
    assert list(found) == ["rehearsed"]
    assert found["rehearsed"] > 0
    assert len(list((house.site.layout.maildir / "new").iterdir())) == before


def test_a_day_in_the_future_is_refused_with_a_note_that_says_so(house: House) -> None:
    state, dag_run_id = house.run("cleared", campaign_date="2999-01-01")
    note = house.site.airflow.client.note("reengage_cleared", dag_run_id)
    assert state == "failed"
    assert note == (
        "preflight: ConfigurationError: campaign date 2999-01-01 is in the future"
        " (today is 2025-03-04); name today or a past day"
    )


def test_cleared_tasks_send_nothing_twice_and_say_what_to_clear(house: House) -> None:
    _, dag_run_id = house.run("cleared")
    before = house.letters("cleared")
    house.clear("cleared", dag_run_id, "send")
    assert house.ended("cleared", dag_run_id) == "success"
    # The batch cannot be opened any more: the run's key is destroyed.
    house.clear("cleared", dag_run_id, "extract")
    assert house.ended("cleared", dag_run_id) == "failed"
    note = house.site.airflow.client.note("reengage_cleared", dag_run_id)
    assert note is not None
    assert "clear the whole DAG run from `preflight` on" in note
    house.clear("cleared", dag_run_id, "preflight")
    assert house.ended("cleared", dag_run_id) == "success"
    assert house.letters("cleared") == before
    assert len(house.delivered("cleared")) == before["sent"]


def test_a_failed_try_is_retried_and_goes_on_where_it_stopped(house: House) -> None:
    # Refuses once and no more: a sequence does not roll back.
    house.rows(
        "CREATE SEQUENCE refusals;"
        " CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " IF nextval('refusals') = 3 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;"
        " CREATE TRIGGER refuse BEFORE UPDATE ON letter FOR EACH ROW"
        " WHEN (NEW.campaign = 'retried' AND NEW.state = 'sent') EXECUTE FUNCTION refuse()"
    )
    state, _ = house.run("retried")
    assert state == "success"
    # The relay's answers were kept before they could not be settled: nothing is in doubt.
    letters = house.letters("retried")
    assert list(letters) == ["sent"]
    assert len(house.delivered("retried")) == letters["sent"]
    assert max(_times(house, "retried").values()) == 1


def test_a_killed_sender_is_retried_and_no_letter_goes_twice(house: House) -> None:
    house.rows(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;"
        " CREATE TRIGGER hold BEFORE UPDATE ON letter FOR EACH ROW"
        " WHEN (NEW.campaign = 'killed' AND NEW.state = 'attempted') EXECUTE FUNCTION hold()"
    )
    engine = create_engine(house.site.postgres.url("store"))
    with engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(4711)"))
        dag_run_id = house.trigger("killed")
        wait_until(lambda: _waiting(house) is not None, seconds=60, what="the sender at its letter")
        pid = _waiting(house)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        holder.execute(text("SELECT pg_advisory_unlock(4711)"))
    engine.dispose()
    assert house.ended("killed", dag_run_id) == "success"
    # The server ended the mark although nobody waited for it any more: one letter is in doubt.
    letters = house.letters("killed")
    assert set(letters) == {"sent", "unknown"}
    assert letters["unknown"] == 1
    assert len(house.delivered("killed")) == letters["sent"]
    assert set(_times(house, "killed").values()) == {1}


def test_a_red_gate_stops_before_any_letter_and_names_the_expectation(house: House) -> None:
    state, dag_run_id = house.run("red")
    assert state == "failed"
    note = house.site.airflow.client.note("reengage_red", dag_run_id)
    assert note is not None
    assert note.startswith(
        "gate: GateError: suite 'cohort_red' is red: expect_column_values_to_be_in_set on alive;"
    )
    assert house.letters("red") == {}
    states = house.task_states("red", dag_run_id)
    assert states["gate"] == {"failed"}
    assert states["settle"] == {"upstream_failed"}


def test_a_vendor_whose_agreement_lapsed_gets_nothing(house: House) -> None:
    state, dag_run_id = house.run("lapsed")
    assert state == "failed"
    note = house.site.airflow.client.note("reengage_lapsed", dag_run_id)
    assert note == (
        "preflight: VendorError: agreement SAMPLE-0001 with 'lapsed' expired on 2020-12-31;"
        " renew it and enter the new dates in vendors.yaml"
    )


def test_an_error_that_quotes_a_patient_is_told_by_type_and_place_only(house: House) -> None:
    state, dag_run_id = house.run("unforeseen")
    assert state == "failed"
    note = house.site.airflow.client.note("reengage_unforeseen", dag_run_id)
    assert note is not None
    assert note.startswith("extract: unforeseen DataError at extract.py:")
    assert note.endswith("its text is withheld, it may name a patient")


def test_a_broken_campaign_file_is_an_import_error_and_the_others_stay(house: House) -> None:
    path = house.site.layout.home / "campaigns" / "health_education.yaml"
    sound = path.read_text(encoding="utf-8")
    client = house.site.airflow.client

    def errors() -> list[str]:
        return [
            e["stack_trace"] for e in client.call("GET", "/api/v2/importErrors")["import_errors"]
        ]

    path.write_text(sound.replace("purpose:", "porpoise:"), encoding="utf-8")
    try:
        wait_until(lambda: bool(errors()), seconds=90, what="the import error")
        [error] = errors()
        assert "campaigns/health_education.yaml:6: unknown key 'porpoise'" in error
        assert client.call("GET", "/api/v2/dags/reengage_twice")["is_stale"] is False
    finally:
        path.write_text(sound, encoding="utf-8")
    wait_until(lambda: not errors(), seconds=90, what="the end of the import error")


def _times(house: House, slug: str) -> Counter[str]:
    """How often each Message-ID was delivered."""
    return Counter(str(message_from_bytes(one)["Message-ID"]) for one in house.delivered(slug))


def _waiting(house: House) -> int | None:
    """Process id of the task that waits for the lock."""
    found = house.rows(
        "SELECT application_name FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND datname = 'store'"
    )
    return int(found[0][0].removeprefix("reengage ")) if found else None
