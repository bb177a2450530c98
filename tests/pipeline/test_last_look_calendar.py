"""The last look at letters that win back: what was not known yet when they were sealed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from daily import Practice
from ready import reasons
from reengage.pipeline.send import send
from world import NOW

LATER: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    # of a letter that wins back; a row of `programme` or `appointment` comes besides
    "p0": ("address_bounced", "contact", {"bounced_at": NOW}),
    "p1": ("sent", "contact", {"bounced_at": NOW - timedelta(days=2000)}),
    "p2": ("address_changed", "contact", {
        "confidential_channel": "email", "confidential_email": "quiet@example.org",
        "confidential_verified_at": NOW}),
    "p3": ("no_jurisdiction_rule", "programme", {"category": "hiv", "since": NOW, "until": None}),
    "p4": ("sensitive_programme", "patient", {"sensitive_programme": True}),
    "p5": ("future_appointment", "appointment", {"start_at": NOW + timedelta(days=3)}),
    "p6": ("sent", "appointment", {"start_at": NOW + timedelta(days=40)}),
    "p7": ("authorization_expired", "authorization", {"event_at": NOW}),
    "p8": ("authorization_false", "authorization", {"known_false": True}),
    "p9": ("authorization_signer", "patient", {"birth_date": NOW.date()}),
}  # fmt: skip


def test_what_is_known_by_now_withholds_a_letter_that_wins_back(practice: Practice) -> None:
    """PRV-04, PRV-16, PRV-21, PRV-23, PRV-32, PRV-33."""
    for key in LATER:
        practice.world.patient(key, appointment=None)
    run = practice.open("health_education")
    chunks = practice.hurry(run)
    for key, (_, view, row) in LATER.items():
        if view in ("programme", "appointment"):
            booked = {"appointment_key": f"new-{key}", "location": "x", "status": "booked"}
            added = {**booked, **row} if view == "appointment" else row
            practice.world.set(view, patient_key=key, **added)
        else:
            practice.world.change(view, key, **row)
    for chunk in chunks:
        send(run, chunk)
    assert reasons(practice, run) == {key: reason for key, (reason, _, _) in LATER.items()}
