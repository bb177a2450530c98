"""Why: what was decided and kept, and what the warehouse says today, rule by rule."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from daily import Practice
from eligibility import BY_PARENT, MINOR, PARENT
from reengage.campaigns import load_campaign
from reengage.errors import KeyringError
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.reasons import EXCLUDED
from reengage.why import Explanation, explain
from sqlalchemy import text
from world import DAY, NOW

EDUCATION = "health_education"


def why(practice: Practice, patient: str, campaign: str = EDUCATION) -> Explanation:
    return explain(practice.settings, load_campaign(practice.settings.home, campaign), patient, DAY)


def outcome(found: Explanation, code: str) -> tuple[str, dict[str, object]]:
    [one] = [o for o in found.outcomes if o.code == code]
    return one.outcome, dict(one.rests_on)


def test_every_rule_has_its_outcome_with_the_rows_it_rests_on(practice: Practice) -> None:
    practice.world.patient("p1", appointment=None, authorization={"revoked_at": NOW})
    practice.world.set("restriction", patient_key="p1", kind="no letters", since=NOW)
    run = practice.open(dry=True)
    extract(run)
    found = why(practice, "p1")
    assert [o.code for o in found.outcomes] == [reason.code for reason in EXCLUDED]
    assert {o.code for o in found.outcomes if o.outcome == "against"} == {
        "restriction", "authorization_revoked",
    }  # fmt: skip
    said, rests_on = outcome(found, "authorization_revoked")
    assert said == "against"
    [form] = rests_on["forms"]  # type: ignore[misc]
    assert form["form"] == "authorization-p1"  # type: ignore[index]
    assert outcome(found, "restriction")[1]["restricted_since"].startswith("2025-06-02T17:00:00")  # type: ignore[attr-defined]
    assert outcome(found, "already_written") == ("in order", {})
    [kept] = found.kept
    assert (kept.run_id, kept.mode, kept.arm) == (run.run_id, "dry", None)
    assert kept.evidence["patient_key"] == "p1"


def test_what_the_warehouse_corrected_since_is_told_beside_what_was_kept(
    practice: Practice,
) -> None:
    practice.world.patient("p1", appointment=None, contact={"verified_at": None})
    extract(practice.open(dry=True))
    assert not why(practice, "p1").corrected
    practice.world.change("contact", "p1", verified_at=NOW - timedelta(days=1))
    found = why(practice, "p1")
    assert found.corrected
    assert found.today.reasons == []
    assert outcome(found, "address_unverified")[0] == "against"  # the record stands


def test_of_nobodys_candidate_the_warehouse_is_asked(practice: Practice) -> None:
    practice.world.patient("p1", visit={"start_at": NOW - timedelta(days=3)})
    extract(practice.open(dry=True))
    found = why(practice, "p1")
    assert found.kept == []
    assert found.today.last_visit_at == NOW - timedelta(days=3)
    assert found.today.next_appointment_at == NOW + timedelta(days=7)
    assert found.today.prescriptions == 1
    assert outcome(found, "frequency_cap")[0] == "not asked"
    assert outcome(found, "deceased")[0] == "in order"


def test_an_unknown_patient_is_told_as_such(practice: Practice) -> None:
    found = why(practice, "nobody")
    assert not found.today.known
    assert found.kept == []


def test_a_sensitive_medicine_is_still_known_later(practice: Practice) -> None:
    """PRV-32."""
    practice.world.patient("p1", medication={"sensitive_class": "hiv"})
    extract(practice.open("medication_reminder", dry=True))
    found = why(practice, "p1", "medication_reminder")
    assert outcome(found, "sensitive_medicine") == ("against", {"medicine_class": "hiv"})
    assert list(found.today.reasons) == ["sensitive_medicine"]


def test_what_is_kept_of_a_patient_is_sealed_under_the_months_key(practice: Practice) -> None:
    """SEC-14: nothing of it without the key; no name and no address even with it."""
    practice.world.patient("canary-key", appointment=None)
    run = practice.open(dry=True)
    extract(run)
    [row] = practice.rows("SELECT * FROM decision")
    assert "canary-key" not in json.dumps(row, default=repr)
    kept = json.dumps(dict(why(practice, "canary-key").kept[0].evidence))
    assert "canary-key" in kept
    assert "@" not in kept
    assert "Given" not in kept
    run.keyring.destroy_month_key(DAY)
    with pytest.raises(KeyringError, match="decisions of 2025-06"):
        why(practice, "canary-key")


def test_a_month_that_lost_its_key_is_refused_and_gets_no_new_one(practice: Practice) -> None:
    """SEC-19: a keyring that came back from a backup of last month."""
    practice.world.patient("p1", appointment=None)
    run = practice.open(dry=True)
    extract(run)
    key = practice.settings.keyring / "months" / f"{DAY:%Y-%m}.key"
    saved = key.read_bytes()
    key.unlink()
    tried = uuid4()
    with pytest.raises(KeyringError, match=r"decisions of 2025-06 .* months/2025-06\.key"):
        practice.open(dry=True, run_id=tried)
    assert practice.rows("SELECT FROM run WHERE run_id = :r", r=tried) == []
    extract(run)  # of its own decisions nothing is left to lose
    assert key.exists()
    other = practice.open(dry=True)
    key.unlink()
    with pytest.raises(KeyringError, match="decision_2025_06"):
        extract(other)
    assert not key.exists()
    with run.store.begin() as store:  # the way out where there is no copy
        store.execute(text("UPDATE decision_2025_06 SET sealed = NULL"))
    extract(practice.open(dry=True))
    assert key.read_bytes() != saved
    assert [kept.evidence != {} for kept in why(practice, "p1").kept] == [False, True]


def test_the_service_that_a_place_betrays_is_still_known_later(practice: Practice) -> None:
    """PRV-32."""
    practice.world.patient("p1", appointment={"location": "HIV Clinic"})
    extract(practice.open("appointment_reminder", dry=True))
    found = why(practice, "p1", "appointment_reminder")
    assert outcome(found, "sensitive_service_line") == ("against", {"service": "hiv"})
    assert list(found.today.reasons) == ["sensitive_service_line"]


def test_a_practice_without_sensitive_services_has_none(practice: Practice) -> None:
    practice.world.patient("p1", appointment={"service_line": "HIV", "location": "."})
    path = practice.settings.home / "practice.yaml"
    said = path.read_text(encoding="utf-8")
    listed = said[said.index("sensitive_service_lines:") : said.index("from_name:")]
    path.write_text(said.replace(listed, "sensitive_service_lines: []\n"), encoding="utf-8")
    run = practice.open("appointment_reminder", dry=True)
    assert extract(run).eligible == 1
    gate(run)


def test_who_signed_for_a_minor_is_told(practice: Practice) -> None:
    """PRV-15."""
    practice.world.patient("p1", appointment=None, patient=MINOR, authorization=BY_PARENT)
    practice.world.set("representative", patient_key="p1", **{**PARENT, "blocked": True})
    extract(practice.open(dry=True))
    said, rests_on = outcome(why(practice, "p1"), "representative_blocked")
    assert said == "against"
    [form] = rests_on["forms"]  # type: ignore[misc]
    assert form["signed_by"] == "parent"  # type: ignore[index]


def test_the_letters_of_the_day_are_told(practice: Practice) -> None:
    practice.world.patient("p1", appointment=None)
    practice.play()
    found = why(practice, "p1")
    assert found.letters == [("sent", None)]
    assert found.kept[0].arm == "write"
