"""The last look at reminders of appointments: who signed for a minor, and what a place betrays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from daily import Practice
from eligibility import BY_PARENT, MINOR, PARENT
from ready import reasons
from reengage.pipeline.send import send
from world import NOW

OTHER = {**PARENT, "representative_key": "other", "email": "other@example.org"}
CHANGES: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    # of a child of 17, whose parent signed
    "p0": ("sent", "representative", {"authority": "guardian"}),
    "p1": ("authorization_signer", "representative", {"limited_by": "law_or_court"}),
    "p2": ("authorization_signer", "representative", {"blocked": True}),
    "p3": ("address_changed", "representative", {"email": "moved@example.org"}),
    "p4": ("minor_without_representative", "representative", {"verified_at": None}),
    "p5": ("address_changed", "authorization", {"signed_at": NOW - timedelta(days=1)}),
    # of an adult
    "p6": ("sensitive_service_line", "appointment", {"service_line": "Behavioral Health"}),
    "p7": ("sensitive_service_line", "appointment", {"location": "HIV Clinic, 1 Main Street"}),
    "p8": ("sent", "appointment", {"service_line": "Cardiology"}),
}


def test_a_reminder_goes_to_who_signed_and_betrays_no_kind_of_care(practice: Practice) -> None:
    """PRV-15, PRV-16, PRV-32."""
    for number, key in enumerate(CHANGES):
        child = number < 6
        practice.world.patient(
            key, patient=MINOR if child else {}, authorization=BY_PARENT if child else {}
        )
        if child:
            practice.world.set("representative", patient_key=key, **PARENT)
    run = practice.open("appointment_reminder")
    chunks = practice.hurry(run)
    for key, (_, view, row) in CHANGES.items():
        if view == "authorization":  # the other parent signs anew
            practice.world.set("representative", patient_key=key, **OTHER)
            practice.world.execute(
                "INSERT INTO contract.authorization SELECT (jsonb_populate_record(a,"
                " jsonb_build_object('authorization_key', 'newer', 'representative_key', 'other',"
                " 'signed_at', CAST(:at AS timestamptz)))).* FROM contract.authorization AS a"
                " WHERE patient_key = :key",
                key=key,
                at=row["signed_at"],
            )
        else:
            practice.world.change(view, key, **row)
    for chunk in chunks:
        send(run, chunk)
    assert reasons(practice, run) == {key: reason for key, (reason, _, _) in CHANGES.items()}
