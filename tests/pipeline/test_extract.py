"""Extract: the batch of a day, sealed rows with the envelope and the declared columns, and what a
warehouse may do wrong. Who may be written to: test_eligibility.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from daily import Practice
from eligibility import APPOINTMENT, EDUCATION, MEDICATION
from gates import batch_of
from reengage import staging
from reengage.errors import ConfigurationError, SourceDataError, StoreError
from reengage.pipeline.asking import asking
from reengage.pipeline.extract import ENVELOPE, Extracted, candidate_statement, extract
from reengage.pipeline.run import Run
from sqlalchemy import text
from world import NOW


def one_run(practice: Practice, campaign: str = EDUCATION) -> tuple[Run, Extracted]:
    run = practice.open(campaign, dry=True)
    return run, extract(run)


def test_of_the_excluded_nothing_but_the_reasons_is_read(practice: Practice) -> None:
    """PRV-18: not even into memory."""
    practice.world.patient("p1")
    practice.world.set("restriction", patient_key="p1", kind="no outreach", since=NOW)
    run = practice.open(APPOINTMENT, dry=True)
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    with run.warehouse.connect() as connection:
        [row] = connection.execute(text(statement), asking(run)).mappings()
    told = {name: value for name, value in row.items() if value is not None}
    assert set(told.pop("evidence")) >= {"forms", "restricted_since", "appointment_key"}
    assert told == {
        "patient_key": "p1",
        "reasons": ["restriction"],
        "authorization_duplicate": False,
    }
    fields = {"appointment.start_at", "appointment.location"}
    assert set(row) == {*ENVELOPE, *told, "evidence", *fields}


def test_the_day_ends_in_the_campaigns_time_zone(practice: Practice) -> None:
    # 04:59 UTC of the next day is the day's last minute in Chicago.
    practice.world.patient(
        "in",
        authorization={"revoked_at": datetime(2025, 6, 3, 4, 59, tzinfo=UTC)},
        appointment=None,
    )
    practice.world.patient(
        "out",
        authorization={"revoked_at": datetime(2025, 6, 3, 5, 0, tzinfo=UTC)},
        appointment=None,
    )
    run, _ = one_run(practice)
    assert practice.reasons(run) == {"in": ["authorization_revoked"], "out": []}


# --- the batch ---


def test_nobody_to_write_to_is_a_day_like_any_other(practice: Practice) -> None:
    practice.world.patient("p1", visit={"start_at": NOW - timedelta(days=1)})
    run, counts = one_run(practice)
    assert counts == Extracted(living=1, inactive=0, candidates=0, eligible=0, parts=0)
    assert batch_of(run) == []


def test_extracting_again_replaces_the_batch(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART_PATIENTS", 2)
    for key in "abcde":
        practice.world.patient(key, appointment=None)
    run = practice.open(dry=True)
    first = extract(run)
    assert (first.eligible, first.parts) == (5, 3)
    assert extract(run) == first
    assert len(batch_of(run)) == 5
    practice.world.set("opt_out", patient_key="a", campaign=None, at=NOW)
    practice.world.change("visit", "b", start_at=NOW)
    second = extract(run)
    assert (second.candidates, second.eligible, second.parts) == (4, 3, 2)
    assert [row["patient_key"] for row in batch_of(run)] == ["c", "d", "e"]
    assert set(practice.reasons(run)) == set("acde")


def test_extracting_again_takes_back_what_was_composed_and_a_claimed_letter_stays(
    practice: Practice,
) -> None:
    for key in ("p1", "p2", "p3"):
        practice.world.patient(key, appointment=None)
    run = practice.open()
    practice.compose(run)
    before = len(practice.rows("SELECT 1 FROM letter"))
    assert before > 1
    with run.store.begin() as store:
        store.execute(text(
            "UPDATE letter SET state = 'claimed' WHERE letter_id ="
            " (SELECT letter_id FROM letter LIMIT 1)"
        ))  # fmt: skip
    extract(run)
    assert practice.states() == {"claimed": 1}
    practice.compose(run)
    assert sum(practice.states().values()) == before


def test_every_field_of_a_row_is_what_the_campaign_declares(practice: Practice) -> None:
    """PRV-18, PRV-19."""
    practice.world.patient("p1")
    run, _ = one_run(practice, APPOINTMENT)
    [row] = batch_of(run)
    assert row == {
        "patient_key": "p1",
        "recipient": "p1@example.org",
        "certificate": None,
        "reads_authenticated": None,
        "language": "en",
        "time_zone": "America/Chicago",
        "period_key": run.keyring.pseudonym("period", "appointment-p1"),
        "authorization_key": "authorization-p1",
        "appointment_key": "appointment-p1",
        "medication_key": None,
        # letter_valid_days: 3, to the midnight of the campaign's time zone.
        "expires_at": datetime(2025, 6, 5, 5, 0, tzinfo=UTC),
        "appointment.start_at": NOW + timedelta(days=7),
        "appointment.location": "Clinic p1, 1 Main Street",
    }


@pytest.mark.parametrize(
    ("language", "written"),
    [("es", "es"), ("en", "en"), (None, "en"), ("", "en"), ("tlh", "en"), ("x" * 999, "en")],
)
def test_an_unknown_language_falls_back_to_the_campaigns_first(
    language: str | None, written: str, practice: Practice
) -> None:
    practice.world.patient("p1", appointment=None, patient={"language": language})
    run, _ = one_run(practice)
    assert [row["language"] for row in batch_of(run)] == [written]


def test_a_time_zone_that_does_not_exist_is_counted_and_stops_nobody(practice: Practice) -> None:
    zones = {
        "a": "America/New_York", "b": None, "c": "Mars/Olympus", "d": "../../etc/passwd",
        "e": "America", "f": "", "g": "America/Chicago\n", "h": "x" * 5000,
    }  # fmt: skip
    for key, zone in zones.items():
        practice.world.patient(key, patient={"time_zone": zone})
    run, counts = one_run(practice, APPOINTMENT)
    found = {row["patient_key"]: row["time_zone"] for row in batch_of(run)}
    assert found == {key: zones[key] if key == "a" else "America/Chicago" for key in zones}
    noted = practice.rows("SELECT notes FROM decision WHERE run_id = :r", r=run.run_id)
    assert sorted(row["notes"] for row in noted) == [[]] * 3 + [["time_zone_unknown"]] * 5
    assert counts == Extracted(living=8, inactive=8, candidates=8, eligible=8, parts=1)


# --- what the warehouse may do wrong ---


@pytest.mark.parametrize(
    ("view", "campaign"),
    [("patient", EDUCATION), ("contact", EDUCATION), ("patient", APPOINTMENT),
     ("appointment", APPOINTMENT), ("medication", MEDICATION)],
)  # fmt: skip
def test_a_view_that_tells_of_someone_twice_is_named_and_the_batch_stays(
    view: str, campaign: str, practice: Practice
) -> None:
    practice.world.patient("p0", **({"appointment": None} if campaign == EDUCATION else {}))
    run, _ = one_run(practice, campaign)
    practice.world.execute(f'INSERT INTO contract."{view}" SELECT * FROM contract."{view}"')
    with pytest.raises(SourceDataError) as refused:
        extract(run)
    message = str(refused.value)
    key = "patient_key" if view == "contact" else f"{view}_key"
    assert message.startswith(f"contract.{view} has 1 rows too many: {key} must be there once")
    assert "`python -m reengage warehouse check`" in message
    assert "p0" not in message
    assert len(batch_of(run)) == 1


def test_two_rows_of_one_patient_are_seen_across_the_parts_border(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART_PATIENTS", 1)
    practice.world.patient("p1", appointment=None)
    practice.world.execute("INSERT INTO contract.contact SELECT * FROM contract.contact")
    with pytest.raises(SourceDataError, match=r"contract\.contact has 1 rows too many"):
        one_run(practice)


def test_an_audience_that_gives_a_patient_twice_is_named(practice: Practice) -> None:
    audience = practice.settings.home / "sql" / "extract" / "health_education.sql"
    audience.write_text(audience.read_text() + "\nUNION ALL SELECT patient_key, NULL, NULL, NULL,"
                        " CAST(NULL AS timestamptz) FROM inactive\n")  # fmt: skip
    practice.world.patient("p1", appointment=None)
    with pytest.raises(ConfigurationError, match=r"sql/extract/health_education\.sql gives a pat"):
        one_run(practice)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DROP TABLE contract.restriction", "UndefinedTable"),
        ("ALTER TABLE contract.contact DROP COLUMN verified_at", "UndefinedColumn"),
        ("ALTER TABLE contract.visit ALTER start_at TYPE text", "UndefinedFunction"),
    ],
)
def test_a_view_or_column_that_is_missing_is_the_data_owners_to_mend(
    statement: str, kind: str, practice: Practice
) -> None:
    practice.world.patient("canary", appointment=None)
    practice.world.execute(statement)
    with pytest.raises(SourceDataError) as refused:
        one_run(practice)
    assert kind in str(refused.value)
    assert "python -m reengage warehouse check" in str(refused.value)
    assert refused.value.__cause__ is None
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("FROM inactive", "FORM inactive", 'SyntaxError: syntax error at or near "FORM"'),
        (
            "inactive.patient_key,",
            "inactive.patient_kee AS patient_key,",
            "UndefinedColumn: column inactive.patient_kee does not exist",
        ),
        ("FROM inactive", "FROM inactives AS inactive", 'relation "inactives" does not exist'),
    ],
)
def test_a_slip_in_an_audience_is_told_in_the_words_of_the_database(
    old: str, new: str, said: str, practice: Practice
) -> None:
    path = practice.settings.home / "sql" / "extract" / "health_education.sql"
    path.write_text(path.read_text().replace(old, new, 1))
    practice.world.patient("canary", appointment=None)
    with pytest.raises(SourceDataError) as refused:
        one_run(practice)
    assert said in str(refused.value)
    assert "mend sql/extract/health_education.sql" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_warehouse_that_does_not_answer_may_be_asked_again(practice: Practice) -> None:
    practice.world.patient("p1", appointment=None)
    run, _ = one_run(practice)
    gone = replace(run.settings, warehouse_url="postgresql+psycopg://u:secret@localhost:1/x")
    with pytest.raises(
        StoreError, match=r"warehouse does not answer; .*REENGAGE_WAREHOUSE_URL"
    ) as e:
        extract(replace(run, settings=gone))
    assert "secret" not in str(e.value)
    assert len(batch_of(run)) == 1


@pytest.mark.parametrize(
    ("name", "source", "campaign"),
    [
        ("language", "standing.language", EDUCATION),
        ("time_zone", "standing.time_zone", EDUCATION),
        ("period_key", "audience.period_key", APPOINTMENT),
        ("period_key", "audience.period_key", MEDICATION),
        ("expires_at", "audience.expires_at", APPOINTMENT),
    ],
)
def test_a_statement_that_lost_what_a_default_would_replace_is_refused(
    name: str, source: str, campaign: str, practice: Practice
) -> None:
    """PRV-18, PRV-20."""
    practice.world.patient("p1", appointment=None if campaign == EDUCATION else {})
    part = practice.settings.home / "sql" / "extract" / "parts" / "envelope.sql"
    said = part.read_text(encoding="utf-8")
    spoiled = said.replace(f"THEN {source} END AS {name}", f"THEN NULL END AS {name}")
    assert spoiled != said
    part.write_text(spoiled, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"gives no {name} for a candidate who has one"):
        one_run(practice, campaign)
    assert practice.rows("SELECT FROM decision") == []


def test_a_statement_that_lost_the_addresses_is_refused_and_excludes_nobody(
    practice: Practice,
) -> None:
    practice.world.patient("p1")
    part = practice.settings.home / "sql" / "extract" / "parts" / "envelope.sql"
    said = part.read_text(encoding="utf-8")
    spoiled = said.replace("THEN standing.recipient END", "THEN NULL END")
    assert spoiled != said
    part.write_text(spoiled, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="gives no address"):
        one_run(practice, APPOINTMENT)
    assert practice.rows("SELECT FROM decision") == []
