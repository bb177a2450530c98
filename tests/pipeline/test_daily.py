"""The rooms in their order: who is due gets one letter, whatever is run again."""

from __future__ import annotations

import pytest
from daily import Practice
from simulators.smtp import HostileRelay


@pytest.mark.parametrize(
    "campaign", ["appointment_reminder", "health_education", "medication_reminder"]
)
def test_everyone_due_gets_one_letter_and_a_second_run_sends_none(
    campaign: str, practice: Practice, hostile: HostileRelay
) -> None:
    for number in range(7):
        held = {"appointment": None} if campaign == "health_education" else {}
        practice.world.patient(f"p{number}", **held)
    practice.play(campaign)
    first = len(hostile.letters)
    practice.play(campaign)
    assert len(hostile.letters) == first
    assert practice.states() == {"sent": first}
    assert 0 < first <= 7
