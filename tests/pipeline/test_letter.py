"""Letter: what a patient finds in the mailbox, and that a retry composes nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
from daily import Practice
from reengage import staging
from reengage.errors import LetterError
from reengage.pipeline import letter as letters
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.composing import identity_of
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.seal import Sealed
from sqlalchemy import text
from world import DAY, NOW

ALL = Chunk(number=0, first=0, last=0)
CAMPAIGNS = ("appointment_reminder", "health_education", "medication_reminder")


def due(practice: Practice, campaign: str = "appointment_reminder") -> Run:
    """A run whose batch is planned, everyone to be written to, and no letter composed."""
    run = practice.open(campaign, dry=True)
    practice.planned(run)
    with run.store.begin() as store:
        store.execute(text("UPDATE decision SET arm = 'write' WHERE arm IS NOT NULL"))
    return run


def found(practice: Practice, run: Run) -> dict[str, EmailMessage]:
    """The composed letters by the patient's key."""
    return {
        letter.patient_key: message_from_bytes(letter.message, policy=SMTP)  # type: ignore[misc]
        for letter in addressed(practice, run)
    }


def addressed(practice: Practice, run: Run) -> list[Addressed]:
    """The composed letters, opened."""
    opened = []
    for row in practice.rows("SELECT * FROM letter WHERE run_id = :r", r=run.run_id):
        identity = identity_of(*(str(row[name]) for name in ("campaign", "patient", "period")))
        sealed = row["sealed"]
        assert isinstance(sealed, bytes)
        opened.append(
            Addressed.from_bytes(run.data_key.open(sealed, bound_to=f"letter/{identity}"))
        )
    return opened


def contents(message: EmailMessage) -> dict[str, str]:
    return {
        part.get_content_type(): part.get_content()
        for part in message.walk()
        if not part.is_multipart()
    }


CANARIES: dict[str, dict[str, Any]] = {
    "patient": {"given_name": "Zaccheusine", "state": "NE", "zip": "68999",
                "birth_date": date(1961, 7, 23)},
    "contact": {"email": "zq.mailbox@example.org"},
    "visit": {"service_line": "Visitlinezq"},
    "appointment": {"location": "Harney Clinic zq", "service_line": "Bookinglinezq",
                    "start_at": datetime(2025, 6, 9, 17, 5, tzinfo=UTC)},
    "medication": {"name": "Fictitiol", "dosage_text": "77 MG Oral Zq", "service_line": "Drugzq"},
    "authorization": {"information": "Informationzq"},
}  # fmt: skip
SHOWN = {
    ("appointment_reminder", "en"): ["Monday, June 9, 2025", "12:05 PM CDT", "Harney Clinic zq"],
    ("appointment_reminder", "es"): ["lunes, 9 de junio de 2025", "12:05 p.m. CDT",
                                     "Harney Clinic zq"],
    ("health_education", "en"): ["Zaccheusine"],
    ("health_education", "es"): ["Zaccheusine"],
    ("medication_reminder", "en"): ["Fictitiol", "77 MG Oral Zq"],
    ("medication_reminder", "es"): ["Fictitiol", "77 MG Oral Zq"],
}  # fmt: skip
PHI = ("Zaccheusine", "68999", "1961", "19610723", "Visitlinezq", "Bookinglinezq",
       "Harney Clinic zq", "Fictitiol", "77 MG", "Drugzq",
       "Informationzq", "June 9", "de junio")  # fmt: skip


@pytest.mark.parametrize(("campaign", "language"), SHOWN)
def test_a_letter_parses_has_both_parts_and_only_its_campaigns_fields(
    campaign: str, language: str, practice: Practice
) -> None:
    """PRV-20, EML-01, EML-02."""
    patient = {**CANARIES["patient"], "language": language}
    booked = {} if campaign != "health_education" else {"appointment": None}
    practice.world.patient("zqpatient", **{**CANARIES, "patient": patient, **booked})
    run = due(practice, campaign)
    assert write_letters(run, ALL) == 1
    message = found(practice, run)["zqpatient"]
    assert [part.defects for part in message.walk()] == [[], [], []]
    parts = contents(message)
    assert set(parts) == {"text/plain", "text/html"}
    shown = SHOWN[campaign, language]
    for content in parts.values():
        plain = " ".join(content.replace("\N{NARROW NO-BREAK SPACE}", " ").split())
        plain = plain.replace("\N{NO-BREAK SPACE}", " ")
        assert [value for value in shown if value not in plain] == []
        absent = [value for value in PHI if not any(value in one for one in shown)]
        assert _held(absent, content) == []
    # Of the patient no header holds anything but the address in To.
    assert message["To"] == "zq.mailbox@example.org"
    others = "\n".join(f"{n}: {v}" for n, v in message.items() if n != "To")
    assert _held([*PHI, "zq.mailbox", "zqpatient"], others) == []


def _held(values: list[str], content: str) -> list[str]:
    """The values that the content holds; digits by themselves only, as a boundary's are random."""
    digits = "(?<![0-9A-Za-z]){}(?![0-9A-Za-z])"
    sought = {v: digits.format(v) if v.isdigit() else re.escape(v) for v in values}
    return [value for value, pattern in sought.items() if re.search(pattern, content)]


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("America/New_York", "1:05 PM EDT"),
        ("America/Los_Angeles", "10:05 AM PDT"),
        ("America/Phoenix", "10:05 AM MST"),
        (None, "12:05 PM CDT"),
        ("Mars/Olympus", "12:05 PM CDT"),
    ],
)
def test_the_time_is_the_patients_own(zone: str | None, shown: str, practice: Practice) -> None:
    patient = {"time_zone": zone}
    practice.world.patient("p1", patient=patient, appointment=CANARIES["appointment"])
    run = due(practice)
    write_letters(run, ALL)
    parts = contents(found(practice, run)["p1"])
    assert shown in parts["text/plain"].replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_a_retry_composes_nothing_twice(practice: Practice) -> None:
    for number in range(4):
        practice.world.patient(f"p{number}")
    run = due(practice)
    assert write_letters(run, ALL) == 4
    before = practice.rows("SELECT * FROM letter ORDER BY letter_id")
    assert write_letters(run, ALL) == 0
    assert practice.rows("SELECT * FROM letter ORDER BY letter_id") == before
    assert {row["state"] for row in before} == {"composed"}
    assert len({row["message_id"] for row in before}) == 4


def test_a_retry_goes_on_from_the_part_where_it_stopped(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PART_PATIENTS", 2)
    for number in range(6):
        practice.world.patient(f"p{number}")
    run = due(practice)
    seal, calls = letters.seal_letter, []

    def dies(*arguments: Any) -> Sealed:
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        return seal(*arguments)

    chunk = Chunk(number=0, first=0, last=2)
    with monkeypatch.context() as patch:
        patch.setattr(letters, "seal_letter", dies)
        with pytest.raises(MemoryError):
            write_letters(run, chunk)
    assert practice.states() == {"composed": 2}  # the first part, whole; of the second nothing
    assert write_letters(run, chunk) == 4
    assert practice.states() == {"composed": 6}


def test_another_run_of_the_day_finds_the_same_message_id(practice: Practice) -> None:
    practice.world.patient("p1")
    ids = []
    for _ in range(2):
        run = due(practice)
        write_letters(run, ALL)
        ids.append(found(practice, run)["p1"]["Message-ID"])
    assert ids[0] == ids[1]


def test_who_is_held_out_gets_no_letter(practice: Practice) -> None:
    for number in range(3):
        practice.world.patient(f"p{number}")
    run = due(practice)
    with run.store.begin() as store:
        store.execute(
            text("UPDATE decision SET arm = 'holdout' WHERE patient = :p"),
            {"p": run.pseudonym("p1")},
        )
    assert write_letters(run, ALL) == 2
    assert set(found(practice, run)) == {"p0", "p2"}


def restaged(run: Run, change: Callable[[dict[str, Any]], object]) -> None:
    with run.store.begin() as connection:
        [rows] = staging.read_parts(connection, run.data_key, [0])
        for row in rows:
            change(row)
        staging.clear_batch(connection, run.run_id)
        staging.write_part(connection, run.data_key, 0, rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update({"patient.zip": "canary"}),
        lambda row: row.pop("appointment.location"),
        lambda row: row.pop("authorization_key"),
    ],
    ids=["one too many", "a field missing", "the envelope torn"],
)
def test_a_row_with_other_columns_is_refused(
    change: Callable[[dict[str, Any]], object], practice: Practice
) -> None:
    """PRV-18."""
    practice.world.patient("p1")
    run = due(practice)
    restaged(run, change)
    with pytest.raises(LetterError, match="exactly the declared columns; clear `extract`") as told:
        write_letters(run, ALL)
    assert "canary" not in str(told.value)
    assert practice.states() == {}


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        (None, "has no value"),
        ("", "is empty"),
        ("  \t ", "is empty"),
        ("canary\x07", "control character"),
        ("canary\x00".replace("\x00", "\x1b"), "control character"),
        ("\u202ecanary", "control character"),
    ],
)
def test_a_field_that_cannot_be_written_names_its_column_and_no_value(
    location: str | None, fault: str, practice: Practice
) -> None:
    """EML-02, OLN-12."""
    practice.world.patient("p1")
    practice.world.patient("p2")
    run = due(practice)
    with run.store.begin() as store:  # as if the extraction had let it pass
        [rows] = staging.read_parts(store, run.data_key, [0])
        staging.clear_batch(store, run.run_id)
        rows = [{**row, "appointment.location": location} for row in rows]
        staging.write_part(store, run.data_key, 0, rows)
    with pytest.raises(LetterError) as refused:
        write_letters(run, ALL)
    message = str(refused.value)
    assert "field 'location', read from contract.appointment.location:" in message
    assert fault in message
    assert "mend" in message
    assert "canary" not in message
    assert practice.states() == {}
    assert write_letters(due(practice), ALL) == 2


def test_a_line_break_in_a_field_is_no_line_break_in_the_letter(practice: Practice) -> None:
    location = "Clinic\r\nBcc: x@example.org\r\n\r\n<b>Main</b> & Sons"
    practice.world.patient("p1", appointment={"location": location})
    run = due(practice)
    write_letters(run, ALL)
    message = found(practice, run)["p1"]
    assert message["Bcc"] is None
    one_line = "Clinic Bcc: x@example.org <b>Main</b> & Sons"
    assert one_line in contents(message)["text/plain"]
    assert "&lt;b&gt;Main&lt;/b&gt; &amp; Sons" in contents(message)["text/html"]


def test_a_letter_of_the_period_that_another_run_wrote_is_not_written_again(
    practice: Practice,
) -> None:
    practice.world.patient("p1")
    live = practice.open("appointment_reminder")
    practice.hurry(live)
    other = practice.open("appointment_reminder")
    with other.store.begin() as store:
        # As if both had been extracted before either wrote.
        store.execute(
            text(
                "INSERT INTO decision (campaign_date, run_id, patient, reasons, arm)"
                " SELECT campaign_date, :o, patient, reasons, arm FROM decision"
            ),
            {"o": other.run_id},
        )
        [rows] = staging.read_parts(store, live.data_key, [0])
        staging.write_part(store, other.data_key, 0, rows)
    assert write_letters(other, ALL) == 0
    assert practice.states() == {"composed": 1}


def test_a_letter_is_useless_after_its_days_or_once_the_appointment_has_begun(
    practice: Practice,
) -> None:
    soon = NOW + timedelta(days=1)
    practice.world.patient("p1", appointment={"start_at": soon})
    practice.world.patient("p2")
    write_letters(due(practice), ALL)
    rows = practice.rows("SELECT expires_at FROM letter ORDER BY expires_at")
    # letter_valid_days: 3, to the midnight of the campaign's time zone.
    assert [row["expires_at"] for row in rows] == [soon, datetime(2025, 6, 5, 5, 0, tzinfo=UTC)]


def test_a_letter_seals_what_it_speaks_of(practice: Practice) -> None:
    practice.world.patient("p1")
    sealed = {}
    for campaign in CAMPAIGNS[::2]:
        run = due(practice, campaign)
        write_letters(run, ALL)
        [sealed[campaign]] = addressed(practice, run)
    booking, prescription = sealed.values()
    assert (booking.appointment_key, booking.medication_key) == ("appointment-p1", None)
    assert booking.says == {
        "appointment.start_at": (NOW + timedelta(days=7)).isoformat(),
        "appointment.location": "Clinic p1, 1 Main Street",
    }
    assert (prescription.appointment_key, prescription.medication_key) == (None, "medication-p1")
    assert prescription.says == {
        "medication.name": "Lisinopril p1", "medication.dosage_text": "10 MG Oral Tablet",
    }  # fmt: skip
    assert Addressed.from_bytes(booking.to_bytes()) == booking


@pytest.mark.parametrize(
    ("lapsed_on", "count"),
    [(None, 1), (DAY, 1), (DAY - timedelta(days=90), 1), (DAY - timedelta(days=91), 0)],
)
def test_a_lapsed_prescription_is_reminded_of_for_90_days(
    lapsed_on: date | None, count: int, practice: Practice
) -> None:
    """PRV-10."""
    practice.world.patient("p1", medication={"lapsed_on": lapsed_on})
    assert practice.extracted(practice.open("medication_reminder", dry=True)).candidates == count
