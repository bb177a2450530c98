"""Extract: one decision per candidate with every reason against it, and a sealed row only for the
eligible, which holds the envelope and the declared columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes
from email.policy import SMTP
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from daily import Practice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reengage import staging
from reengage.errors import ConfigurationError, SourceDataError, StoreError
from reengage.keys import Keyring
from reengage.pipeline.decide import calendar_period, recipient_pseudonym
from reengage.pipeline.extract import (
    ENVELOPE,
    Extracted,
    candidate_statement,
    cohort_parameters,
    extract,
)
from reengage.pipeline.letter import Addressed, identity_of, write_letters
from reengage.pipeline.plan import plan
from reengage.pipeline.run import Run
from sqlalchemy import create_engine, text
from world import DAY, NOW, World

CHICAGO = ZoneInfo("America/Chicago")
MIDNIGHT = datetime.combine(DAY + timedelta(days=1), time(), CHICAGO)
"""The end of the campaign's day."""
LAST = MIDNIGHT - timedelta(microseconds=1)
"""Its last instant."""
EDUCATION = "health_education"
MEDICATION = "medication_reminder"
APPOINTMENT = "appointment_reminder"


def staged(practice: Practice, run: Run) -> list[dict[str, Any]]:
    """The rows of the batch, opened."""
    engine = create_engine(practice.settings.store_url)
    with engine.connect() as connection:
        numbers = staging.part_numbers(connection, run.run_id)
        parts = list(staging.read_parts(connection, run.data_key, numbers))
    engine.dispose()
    return [row for part in parts for row in part]


def one_run(practice: Practice, campaign: str = EDUCATION) -> tuple[Run, Extracted]:
    run = practice.open(campaign, dry=True)
    return run, extract(run)


# --- who may be written to: the warehouse's reasons, one patient each ---

ADULT = date(2007, 6, 2)  # 18 on the day
MINOR = date(2007, 6, 3)  # 18 the day after
PARENT = {
    "representative_key": "parent",
    "authority": "parent",
    "email": "parent@example.org",
    "verified_at": NOW - timedelta(days=900),
    "blocked": False,
}
RESTRICTION = {"kind": "no outreach", "since": NOW - timedelta(days=9), "until": None}

Changes = dict[str, Any]
Case = tuple[str, Changes, dict[str, list[Changes]], list[str]]

CASES: list[Case] = [
    # name, changes of the usual rows, rows besides, reasons
    ("nothing against it", {}, {}, []),
    # Authorization: PRV-01, PRV-02, PRV-04, PRV-05, PRV-06.
    ("no form", {"authorization": None}, {}, ["no_authorization"]),
    ("a form for another purpose", {"authorization": {"purpose": "marketing"}}, {},
     ["no_authorization"]),
    ("signed at the day's last instant", {"authorization": {"signed_at": LAST}}, {}, []),
    ("signed after the day", {"authorization": {"signed_at": MIDNIGHT}}, {}, ["no_authorization"]),
    ("not signed", {"authorization": {"signed_at": None}}, {}, ["authorization_incomplete"]),
    *[
        (f"form without {part}", {"authorization": {part: None}}, {}, ["authorization_incomplete"])
        for part in (
            "information", "discloser", "recipient", "purpose_text", "form_version",
            "notice_revocation", "notice_conditioning", "notice_redisclosure",
        )
    ],
    *[
        (f"form whose {part} is no", {"authorization": {part: False}}, {},
         ["authorization_incomplete"])
        for part in ("notice_revocation", "notice_conditioning", "notice_redisclosure")
    ],
    ("neither expiry day nor event", {"authorization": {"expires_on": None, "expires_event": None}},
     {}, ["authorization_incomplete"]),
    ("expires today", {"authorization": {"expires_on": DAY, "expires_event": None}}, {}, []),
    ("expired yesterday", {"authorization": {"expires_on": DAY - timedelta(days=1)}}, {},
     ["authorization_expired"]),
    ("revoked at the day's last instant", {"authorization": {"revoked_at": LAST}}, {},
     ["authorization_revoked"]),
    ("revoked after the day", {"authorization": {"revoked_at": MIDNIGHT}}, {}, []),
    ("revoked and signed anew", {"authorization": {"revoked_at": NOW - timedelta(days=30)}},
     {"authorization": [{"authorization_key": "anew", "revoked_at": None}]}, []),
    ("a newer form is at fault, an older one sound", {"authorization": {}},
     {"authorization": [{"authorization_key": "newer", "recipient": None,
                         "signed_at": NOW - timedelta(days=5)}]}, []),
    ("two forms, each at fault", {"authorization": {"revoked_at": NOW}},
     {"authorization": [{"authorization_key": "older", "revoked_at": None, "recipient": None,
                         "signed_at": NOW - timedelta(days=2000)}]}, ["authorization_revoked"]),
    ("compound consent to e-mail is none of marketing's business",
     {"authorization": {"compound": True}}, {}, []),
    # Restriction (PRV-22) and opt-out (EML-26).
    ("restricted", {}, {"restriction": [RESTRICTION]}, ["restriction"]),
    ("restricted from the last instant on", {}, {"restriction": [{**RESTRICTION, "since": LAST}]},
     ["restriction"]),
    ("restricted from tomorrow on", {}, {"restriction": [{**RESTRICTION, "since": MIDNIGHT}]}, []),
    ("restricted in the day's first hour", {},
     {"restriction": [{**RESTRICTION, "until": MIDNIGHT - timedelta(days=1)}]},
     ["restriction"]),
    ("no longer restricted", {},
     {"restriction": [{**RESTRICTION, "until": LAST - timedelta(days=1)}]}, []),
    ("opted out of everything", {}, {"opt_out": [{"campaign": None, "at": LAST}]}, ["opted_out"]),
    ("opted out of this campaign", {}, {"opt_out": [{"campaign": EDUCATION, "at": NOW}]},
     ["opted_out"]),
    ("opted out of another campaign", {}, {"opt_out": [{"campaign": APPOINTMENT, "at": NOW}]}, []),
    ("opts out tomorrow", {}, {"opt_out": [{"campaign": None, "at": MIDNIGHT}]}, []),
    # Minors and representatives: PRV-15, PRV-16.
    ("18 today", {"patient": {"birth_date": ADULT}}, {}, []),
    ("17, nobody acts for them", {"patient": {"birth_date": MINOR}}, {},
     ["minor_without_representative"]),
    ("17, a parent on file", {"patient": {"birth_date": MINOR}}, {"representative": [PARENT]}, []),
    ("18 today, a blocked parent no longer counts", {"patient": {"birth_date": ADULT}},
     {"representative": [{**PARENT, "blocked": True}]}, []),
    ("17, the parent is blocked", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "blocked": True}]}, ["representative_blocked"]),
    ("17, blocked or not is unknown", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "blocked": None}]}, ["representative_blocked"]),
    ("17, one of two parents is blocked", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "blocked": True, "email": "a@example.org"}, PARENT]}, []),
    ("17, the parent's address was never confirmed", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "verified_at": None}]}, ["minor_without_representative"]),
    ("17, the parent's address is confirmed tomorrow", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "verified_at": MIDNIGHT}]}, ["minor_without_representative"]),
    ("17, the parent has no address", {"patient": {"birth_date": MINOR}},
     {"representative": [{**PARENT, "email": None}]}, ["minor_without_representative"]),
    ("birth date unknown: not known to be of age", {"patient": {"birth_date": None}}, {},
     ["minor_without_representative"]),
    ("birth date unknown, a parent on file", {"patient": {"birth_date": None}},
     {"representative": [PARENT]}, []),
    # The address: PRV-21, PRV-23.
    ("asked for letters by post", {"contact": {"confidential_channel": "post"}}, {},
     ["confidential_channel"]),
    ("asked for this very address", {"contact": {"confidential_channel": "email"}}, {}, []),
    ("no contact row", {"contact": None}, {}, ["no_address"]),
    ("no address", {"contact": {"email": None}}, {}, ["no_address"]),
    ("address never confirmed", {"contact": {"verified_at": None}}, {}, ["address_unverified"]),
    ("confirmed at the last instant", {"contact": {"verified_at": LAST}}, {}, []),
    ("confirmed tomorrow", {"contact": {"verified_at": MIDNIGHT}}, {}, ["address_unverified"]),
    # Sensitive programmes: PRV-29, PRV-32.
    ("in a sensitive programme", {"patient": {"sensitive_programme": True}}, {},
     ["sensitive_programme"]),
    ("programme unknown", {"patient": {"sensitive_programme": None}}, {}, ["sensitive_programme"]),
    # All that apply, in the order of a report.
    ("everything at once",
     {"patient": {"sensitive_programme": True},
      "contact": {"verified_at": None, "confidential_channel": "post"},
      "authorization": {"expires_on": date(2020, 1, 1)}},
     {"restriction": [RESTRICTION], "opt_out": [{"campaign": None, "at": NOW}]},
     ["restriction", "opted_out", "authorization_expired", "confidential_channel",
      "address_unverified", "sensitive_programme"]),
    ("a minor with nothing on file",
     {"patient": {"birth_date": MINOR}, "contact": None, "authorization": None}, {},
     ["no_authorization", "minor_without_representative"]),
]  # fmt: skip


def fill(world: World, cases: list[Case]) -> dict[str, str]:
    """A patient for each case; gives case name -> patient key."""
    keys = {}
    for number, (name, changes, besides, _) in enumerate(cases):
        key = keys[name] = f"case{number}"
        world.patient(key, **{"appointment": None, **changes})
        for view, rows in besides.items():
            for row in rows:
                usual = _usual_form(key) if view == "authorization" else {}
                world.set(view, **{**usual, "patient_key": key, **row})
    return keys


def _usual_form(key: str) -> dict[str, Any]:
    from world import _usual

    return _usual(key)["authorization"]


def test_every_reason_against_a_patient_is_told_at_its_boundary(practice: Practice) -> None:
    """PRV-01 to PRV-06, PRV-15, PRV-16, PRV-21 to PRV-23, PRV-29, PRV-32, EML-26."""
    keys = fill(practice.world, CASES)
    run, counts = one_run(practice)
    found = practice.reasons(run)
    assert {name: found[key] for name, key in keys.items()} == {
        name: reasons for name, _, _, reasons in CASES
    }
    assert counts.candidates == len(CASES)
    assert counts.eligible == sum(not reasons for *_, reasons in CASES)
    # Of the excluded no row is staged, of the eligible exactly one with exactly these columns.
    rows = staged(practice, run)
    expected = {keys[name] for name, _, _, reasons in CASES if not reasons}
    assert sorted(row["patient_key"] for row in rows) == sorted(expected)
    assert {frozenset(row) for row in rows} == {frozenset({*ENVELOPE, "patient.given_name"})}


def test_of_the_excluded_nothing_but_the_reasons_is_read(practice: Practice) -> None:
    """PRV-18: not even into memory."""
    practice.world.patient("p1")
    practice.world.set("restriction", patient_key="p1", **RESTRICTION)
    run = practice.open(APPOINTMENT, dry=True)
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    with run.warehouse.connect() as connection:
        [row] = connection.execute(text(statement), cohort_parameters(run)).mappings()
    assert {name: value for name, value in row.items() if value is not None} == {
        "patient_key": "p1",
        "reasons": ["restriction"],
    }
    assert set(row) == {*ENVELOPE, "reasons", "appointment.start_at", "appointment.location"}


def test_a_minors_letter_goes_to_the_representative_and_cites_the_form_that_counts(
    practice: Practice,
) -> None:
    cases = [case for case in CASES if case[0] in ("17, one of two parents is blocked",
                                                   "revoked and signed anew")]  # fmt: skip
    keys = fill(practice.world, cases)
    run, _ = one_run(practice)
    rows = {row["patient_key"]: row for row in staged(practice, run)}
    assert rows[keys["17, one of two parents is blocked"]]["recipient"] == "parent@example.org"
    assert rows[keys["revoked and signed anew"]]["authorization_key"] == "anew"


MARKETING: list[tuple[str, Changes | None, list[str]]] = [
    ("sound", {}, []),
    ("none", None, ["no_authorization"]),
    ("compound", {"compound": True}, ["authorization_compound"]),
    ("compound or not is unknown", {"compound": None}, ["authorization_compound"]),
    ("a condition of care", {"conditioned": True}, ["authorization_compound"]),
    ("conditioned or not is unknown", {"conditioned": None}, ["authorization_compound"]),
    ("revoked", {"revoked_at": LAST}, ["authorization_revoked"]),
]


def test_marketing_asks_for_a_form_of_its_own_besides_the_opt_in(practice: Practice) -> None:
    """PRV-05, PRV-08."""
    campaign = practice.settings.home / "campaigns" / "health_education.yaml"
    content = campaign.read_text()
    campaign.write_text(content.replace("purpose: education", "purpose: marketing"))
    for number, (_, form, _) in enumerate(MARKETING):
        practice.world.patient(key := f"case{number}", appointment=None)
        if form is not None:
            own = {"authorization_key": f"marketing-{key}", "purpose": "marketing", **form}
            practice.world.set("authorization", **{**_usual_form(key), **own})
    practice.world.patient("no-opt-in", appointment=None, authorization={"purpose": "marketing"})
    run, _ = one_run(practice)
    assert practice.reasons(run) == {
        "no-opt-in": ["no_authorization"],
        **{f"case{number}": reasons for number, (*_, reasons) in enumerate(MARKETING)},
    }
    [sound] = staged(practice, run)
    assert sound["authorization_key"] == "marketing-case0"  # the one to cite


def test_a_sensitive_medicine_is_named_by_no_letter(practice: Practice) -> None:
    """PRV-32: chosen only where there is no other, and then excluded with its reason."""
    sensitive = {"sensitive_class": "hiv", "start_at": NOW - timedelta(days=1)}
    practice.world.patient("only", medication=sensitive)
    practice.world.patient("also")
    practice.world.set("medication", **{**_medicine("also"), **sensitive, "medication_key": "m2"})
    run, _ = one_run(practice, MEDICATION)
    assert practice.reasons(run) == {"only": ["sensitive_medicine"], "also": []}
    assert [row["medication.name"] for row in staged(practice, run)] == ["Lisinopril also"]


def _medicine(key: str) -> dict[str, Any]:
    from world import _usual

    return _usual(key)["medication"]


# --- who is a candidate at all ---

OPENS = datetime.combine(DAY - timedelta(days=179), time(), CHICAGO)
"""The first instant of the 180 days up to and including the day."""
CANDIDATES: list[tuple[str, Changes, bool]] = [
    ("seen in the instant before the window", {"visit": {"start_at": OPENS - timedelta(microseconds=1)}}, True),  # noqa: E501
    ("seen 180 days ago at local midnight", {"visit": {"start_at": OPENS}}, False),
    ("seen at the day's last instant", {"visit": {"start_at": LAST}}, False),
    ("never seen but for a visit that was cancelled", {"visit": {"status": "cancelled"}}, False),
    ("never seen", {"visit": None}, False),
    ("first seen after the day", {"visit": {"start_at": MIDNIGHT}}, False),
    ("died on the day", {"patient": {"death_date": DAY}}, False),
    ("died the day after", {"patient": {"death_date": DAY + timedelta(days=1)}}, True),
    ("booked in the 30 days", {"appointment": {"start_at": MIDNIGHT}}, False),
    ("booked on the 30th day", {"appointment": {"start_at": MIDNIGHT + timedelta(days=30, microseconds=-1)}}, False),  # noqa: E501
    ("booked on the 31st day", {"appointment": {"start_at": MIDNIGHT + timedelta(days=30)}}, True),
    ("booked for later this day", {"appointment": {"start_at": LAST}}, True),
    ("an appointment that was cancelled", {"appointment": {"status": "cancelled"}}, True),
    ("booked only tomorrow", {"appointment": {"booked_at": MIDNIGHT}}, True),
    ("booked nobody knows when", {"appointment": {"booked_at": None}}, False),
]  # fmt: skip


def test_who_stopped_coming_is_told_at_the_boundary(practice: Practice) -> None:
    keys = {}
    for number, (name, changes, _) in enumerate(CANDIDATES):
        keys[name] = f"case{number}"
        practice.world.patient(keys[name], **{"appointment": None, **changes})
    practice.world.patient("planned", appointment=None)
    planned = {"visit_key": "planned", "patient_key": "planned", "status": "planned"}
    practice.world.set("visit", start_at=MIDNIGHT, **planned)  # lies ahead: nothing of the past
    run, counts = one_run(practice)
    due = {keys[name] for name, _, is_due in CANDIDATES if is_due}
    assert set(practice.reasons(run)) == due | {"planned"}
    assert counts.living == len(CANDIDATES)  # one died, one is planned
    assert counts.inactive == len(CANDIDATES) - 5


# --- what our own store knows ---


def test_our_own_opt_outs_and_suppressions_count_and_are_told_once(practice: Practice) -> None:
    for key in ("all", "here", "elsewhere", "bounced", "both"):
        practice.world.patient(key, appointment=None)
    practice.world.set("opt_out", patient_key="both", campaign=None, at=NOW)
    run = practice.open(dry=True)
    with run.store.begin() as store:
        for key, campaign in [
            ("all", None), ("here", EDUCATION), ("elsewhere", MEDICATION), ("both", None)
        ]:  # fmt: skip
            store.execute(
                text("INSERT INTO opt_out VALUES (:p, :c, 'desk')"),
                {"p": run.pseudonym(key), "c": campaign},
            )
        store.execute(
            text("INSERT INTO suppression VALUES (:r, 'bounced')"),
            {"r": recipient_pseudonym(run, "Bounced@Example.org")},
        )
    extract(run)
    assert practice.reasons(run) == {
        "all": ["opted_out"],
        "here": ["opted_out"],
        "elsewhere": [],
        "bounced": ["address_suppressed"],
        "both": ["opted_out"],
    }


EARLIER: list[tuple[str, int, str, bool, list[str]]] = [
    # state, days before, period, of a rehearsal, reasons; the cap is 30 days
    ("sent", 10, "this", False, ["already_written", "frequency_cap"]),
    ("sent", 40, "this", False, ["already_written"]),
    ("withheld", 10, "this", False, []),  # offered to nobody
    ("refused", 10, "other", False, []),
    ("withheld", 10, "other", False, []),
    ("sent", 29, "other", False, ["frequency_cap"]),
    ("sent", 30, "other", False, []),
    ("unknown", 29, "other", False, ["frequency_cap"]),
    ("attempted", 1, "other", False, ["frequency_cap"]),
    ("claimed", 1, "other", False, ["frequency_cap"]),
    # Taken over and sent by this very run: a second letter would break the cap.
    ("deferred", 1, "other", False, ["frequency_cap"]),
    ("rehearsed", 1, "this", True, []),
    ("sent", -3, "this", False, []),  # of a later day: a replay looks back only
]


def test_letters_of_earlier_days_count_by_period_and_by_cap(practice: Practice) -> None:
    run = practice.open(dry=True)
    names = {}
    for number, (state, days, period, rehearsal, _) in enumerate(EARLIER):
        practice.world.patient(key := f"case{number}", appointment=None)
        names[key] = EARLIER[number]
        own = calendar_period(run) if period == "this" else "2025-Q1"
        _letter(run, key, state, DAY - timedelta(days=days), own, rehearsal=rehearsal)
    extract(run)
    found = practice.reasons(run)
    assert {row: found[key] for key, row in names.items() for row in [row[:4]]} == {
        row[:4]: row[4] for row in EARLIER
    }


def _letter(
    run: Run, key: str, state: str, day: date, period: str, *, rehearsal: bool = False
) -> None:
    with run.store.begin() as store:
        store.execute(
            text(
                "INSERT INTO letter (campaign, patient, period, rehearsal, run_id, campaign_date,"
                " sender_run_id, chunk, state, message_id, sealed, template_sha256, expires_at,"
                " checked_at) VALUES (:campaign, :patient, :period, :rehearsal, :run, :day, :run,"
                " 0, :state, '<x@y>', '', '', :expires, now())"
            ),
            {
                "campaign": run.campaign.slug,
                "patient": run.pseudonym(key),
                "period": run.keyring.pseudonym("period", period),
                "rehearsal": run.run_id if rehearsal else None,
                "run": run.run_id,
                "day": day,
                "state": state,
                "expires": NOW + timedelta(days=2),
            },
        )


def test_a_letter_of_this_day_stands_whatever_the_warehouse_says_since(practice: Practice) -> None:
    """The day's numbers add up although the warehouse was loaded between two of its runs."""
    for key in ("stays", "revokes", "comes back"):
        practice.world.patient(key, contact={"email": f"{key[0]}@example.org"}, appointment=None)
    run = practice.open()
    for key in ("stays", "revokes", "comes back"):
        _letter(run, key, "sent", DAY, "this")
    practice.world.change("authorization", "revokes", revoked_at=NOW)
    practice.world.change("visit", "comes back", start_at=NOW)
    counts = extract(run)
    assert practice.reasons(run) == {"stays": [], "revokes": [], "comes back": []}
    assert (counts.candidates, counts.eligible, counts.parts) == (3, 3, 0)


# --- the batch ---


def test_nobody_to_write_to_is_a_day_like_any_other(practice: Practice) -> None:
    practice.world.patient("p1", visit={"start_at": NOW - timedelta(days=1)})
    run, counts = one_run(practice)
    assert counts == Extracted(living=1, inactive=0, candidates=0, eligible=0, parts=0)
    assert staged(practice, run) == []


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
    assert len(staged(practice, run)) == 5
    practice.world.set("opt_out", patient_key="a", campaign=None, at=NOW)
    practice.world.change("visit", "b", start_at=NOW)
    second = extract(run)
    assert (second.candidates, second.eligible, second.parts) == (4, 3, 2)
    assert [row["patient_key"] for row in staged(practice, run)] == ["c", "d", "e"]
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
    [row] = staged(practice, run)
    assert row == {
        "patient_key": "p1",
        "recipient": "p1@example.org",
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
    assert [row["language"] for row in staged(practice, run)] == [written]


def test_a_time_zone_that_does_not_exist_is_counted_and_stops_nobody(practice: Practice) -> None:
    zones = {
        "a": "America/New_York", "b": None, "c": "Mars/Olympus", "d": "../../etc/passwd",
        "e": "America", "f": "", "g": "America/Chicago\n", "h": "x" * 5000,
    }  # fmt: skip
    for key, zone in zones.items():
        practice.world.patient(key, patient={"time_zone": zone})
    run, counts = one_run(practice, APPOINTMENT)
    found = {row["patient_key"]: row["time_zone"] for row in staged(practice, run)}
    assert found == {key: zones[key] if key == "a" else "America/Chicago" for key in zones}
    assert counts.unknown_time_zones == 5
    assert set(asdict(counts).values()) <= set(range(10))  # counts only


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
    assert len(staged(practice, run)) == 1


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


def test_a_warehouse_that_does_not_answer_may_be_asked_again(practice: Practice) -> None:
    practice.world.patient("p1", appointment=None)
    run, _ = one_run(practice)
    gone = replace(run.settings, warehouse_url="postgresql+psycopg://u:secret@localhost:1/x")
    with pytest.raises(
        StoreError, match=r"warehouse does not answer; .*REENGAGE_WAREHOUSE_URL"
    ) as e:
        extract(replace(run, settings=gone))
    assert "secret" not in str(e.value)
    assert len(staged(practice, run)) == 1


# --- nothing of a patient outside the seal ---

CANARY = {
    "patient": {"patient_key": "canarykey", "given_name": "Canarygiven", "state": "Canarystate",
                "zip": "canaryzip", "birth_date": date(1961, 7, 23)},
    "contact": {"email": "canary.mail@example.org"},
    "appointment": {"location": "Canarylocation"},
    "medication": {"name": "Canarymedicine", "dosage_text": "Canarydosage"},
    "authorization": {"information": "Canaryinformation"},
}  # fmt: skip


def canary(world: World) -> None:
    world.patient("canarykey", **CANARY)  # type: ignore[arg-type]


def dump(practice: Practice) -> str:
    """Every table of the store as text, bytea as what its bytes read as."""
    engine = create_engine(practice.settings.store_url)
    lines = []
    with engine.connect() as connection:
        tables = connection.execute(text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )).scalars()  # fmt: skip
        for table in list(tables):
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                lines += [
                    value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    for value in row
                ]
    engine.dispose()
    return "\n".join(lines)


@pytest.mark.parametrize("campaign", [APPOINTMENT, MEDICATION])
def test_the_raw_store_holds_nothing_of_a_patient(campaign: str, practice: Practice) -> None:
    """SEC-14, LOG-09: batch, decisions and letters are sealed or pseudonymous."""
    canary(practice.world)
    practice.world.patient("canaryexcluded", authorization=None)
    run = practice.open(campaign, dry=True)
    practice.compose(run)
    found = dump(practice)
    assert run.pseudonym("canarykey") in found  # the dump does look at the rows
    assert "canary" not in found.casefold()
    assert "1961" not in found
    assert "rehearsed" not in practice.states()


# --- a random value anywhere upstream appears in no letter (PRV-20) ---

TOKENS = st.text(st.sampled_from("ĞƵǅϞЖҨݓ"), min_size=8, max_size=12)
SHOWN = {"appointment.location"}
DATED = {"patient_key", "appointment_key", "language", "time_zone", "status", "purpose",
         "confidential_channel", "email", "campaign", "sensitive_class"}  # fmt: skip


@pytest.fixture
def letters_of(practice: Practice) -> Iterator[Any]:
    def written(changes: dict[str, dict[str, str]]) -> list[str]:
        for view in practice.world.engine.connect().execute(text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'contract'"
            " AND table_name <> 'load'"
        )).scalars():  # fmt: skip
            practice.world.execute(f'DELETE FROM contract."{view}"')
        practice.world.patient("p1", **changes)  # type: ignore[arg-type]
        practice.world.set("representative", **{**PARENT, "patient_key": "p1"})
        run = practice.open(APPOINTMENT, dry=True)
        extract(run)
        with run.store.begin() as store:
            store.execute(text("UPDATE run SET gate = 'green'"))
        for chunk in plan(run):
            write_letters(run, chunk)
        return [letter_text(run.keyring, row) for row in practice.rows(
            "SELECT * FROM letter WHERE run_id = :r", r=run.run_id)]  # fmt: skip

    return written


def letter_text(keyring: Keyring, row: dict[str, Any]) -> str:
    """A sealed letter, opened and decoded: all headers and parts."""
    identity = identity_of(row["campaign"], row["patient"], row["period"])
    sealed = keyring.data_key(row["run_id"]).open(row["sealed"], bound_to=f"letter/{identity}")
    message = message_from_bytes(Addressed.from_bytes(sealed).message, policy=SMTP)
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]  # type: ignore[attr-defined]
    return "\n".join([*(f"{n}: {v}" for n, v in message.items()), *parts])


def _text_columns() -> list[str]:
    from reengage.contract import load_contract
    from reengage.settings import HOME

    views = ("patient", "contact", "visit", "appointment", "medication", "authorization")
    return [
        f"{view.name}.{column.name}"
        for view in load_contract(HOME).views
        for column in view.columns
        if view.name in views and column.type == "text" and column.name not in DATED
        and not column.name.endswith("_key")
    ]  # fmt: skip


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(_text_columns()), TOKENS, min_size=3))
def test_a_random_value_in_any_other_column_reaches_no_letter(
    letters_of: Any, values: dict[str, str]
) -> None:
    """PRV-18, PRV-20: only the declared column's value is in the letter."""
    changes: dict[str, dict[str, str]] = {}
    for column, value in values.items():
        view, _, name = column.partition(".")
        changes.setdefault(view, {})[name] = value
    [found] = letters_of(changes)
    for column, value in values.items():
        others = {v for c, v in values.items() if c in SHOWN}
        if any(value in other for other in others - ({value} if column not in SHOWN else set())):
            continue
        assert (value in found) == (column in SHOWN or value in others), column


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
