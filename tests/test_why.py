"""Why: what was decided and kept, and what the warehouse says today, rule by rule."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from daily import Practice
from reengage.campaigns import load_campaign
from reengage.errors import KeyringError
from reengage.pipeline.extract import extract
from reengage.reasons import EXCLUDED
from reengage.why import Explanation, explain
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


def test_the_letters_of_the_day_are_told(practice: Practice) -> None:
    practice.world.patient("p1", appointment=None)
    practice.play()
    found = why(practice, "p1")
    assert found.letters == [("sent", None)]
    assert found.kept[0].arm == "write"
