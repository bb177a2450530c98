"""Runs of other days: cleared late, played out of order, taken over. Nobody is written to twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from daily import Practice
from reengage import report, store
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import plan
from reengage.pipeline.question import UnapprovedError
from reengage.pipeline.run import Run, resume
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from simulators.smtp import HostileRelay
from world import DAY, NOW

pytestmark = pytest.mark.long

CAMPAIGN = "appointment_reminder"


def cleared(practice: Practice, run: Run) -> Run:
    """The run as a task that is cleared now finds it."""
    return resume(practice.settings, run.campaign.slug, run.run_id)


def go_on(practice: Practice, run: Run) -> None:
    """All tasks after preflight, as when `extract` is cleared."""
    for chunk in practice.compose(run):
        send(run, chunk)
    settle(run)
    shred(run)


def test_a_run_of_yesterday_that_is_cleared_today_goes_on_as_a_replay(
    practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1", appointment=None)
    practice.world.patient("p2", appointment=None)
    yesterday = practice.open()
    extract(yesterday)  # and there it stopped
    practice.settings = practice.at(NOW + timedelta(days=1)).settings
    practice.play()
    assert len(hostile.letters) == 2
    late = cleared(practice, yesterday)
    assert late.mode == "replay"
    go_on(practice, late)
    assert practice.states() == {"sent": 2, "rehearsed": 2}
    assert len(hostile.letters) == 2


def test_what_another_run_has_taken_over_is_not_deleted_by_its_composer(
    practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1")
    yesterday = practice.open(CAMPAIGN)
    practice.compose(yesterday)
    practice.settings = practice.at(NOW + timedelta(days=1)).settings
    today = practice.open(CAMPAIGN)
    chunks = practice.compose(today)  # takes the letter over
    go_on(practice, cleared(practice, yesterday))
    assert practice.states() == {"composed": 1, "rehearsed": 1}
    for chunk in chunks:
        send(today, chunk)
    assert settle(today) == {"sent": 1}
    assert len(hostile.letters) == 1


@pytest.mark.parametrize("change", [{"email": "new@example.org"}, {"verified_at": None}])
def test_a_withheld_letter_leaves_its_place_to_one_of_another_day(
    change: dict[str, object], practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1", appointment=None)
    run = practice.open()
    chunks = practice.compose(run)
    practice.world.change("contact", "p1", **change)
    for chunk in chunks:
        send(run, chunk)
    settle(run)
    assert practice.states() == {"withheld": 1}
    practice.play()  # the same day: its decision stands
    assert practice.states() == {"withheld": 1}
    practice.world.change("contact", "p1", verified_at=NOW - timedelta(days=1))
    practice.settings = practice.at(NOW + timedelta(days=1)).settings
    practice.play()
    assert practice.states() == {"withheld": 1, "sent": 1}
    assert len(hostile.letters) == 1


def test_days_played_out_of_order_write_once_and_add_up(
    practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1", appointment=None)
    practice.play()
    practice.settings = practice.at(NOW - timedelta(days=2)).settings
    practice.play()  # as `make run AS_OF=` does: live, as of a day before
    assert len(hostile.letters) == 1
    engine = store.connect(practice.settings.store_url)
    [funnel] = report.read_funnels(engine, practice.settings.home, DAY - timedelta(days=2))
    assert funnel.excluded == {"already_written": 1}
    assert funnel.adds_up


def test_the_claim_itself_keeps_the_cap_whatever_was_composed(
    practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1", appointment=None)
    practice.play()
    run = practice.at(NOW + timedelta(days=1)).open()
    extract(run)
    # A letter that no decision allows, as if one had been composed by a fault.
    with run.store.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO letter (campaign, patient, period, run_id, campaign_date, sender_run_id,"
            " chunk, message_id, sealed, template_sha256, expires_at, checked_at)"
            " SELECT campaign, patient, period || 'x', run_id, campaign_date + 1, %s, 0,"
            " message_id, sealed, template_sha256, expires_at + INTERVAL '9 days', now()"
            " FROM letter",
            (run.run_id,),
        )
        connection.exec_driver_sql("UPDATE letter SET sealed = '' WHERE state = 'sent'")
    _seal_anew(practice, run)
    assert send(run, {"number": 0, "first": 0, "last": -1}) == {"withheld": 1}
    assert [
        row["reason"] for row in practice.rows("SELECT reason FROM letter WHERE reason > ''")
    ] == ["frequency_cap"]
    assert len(hostile.letters) == 1


def test_letters_that_were_taken_over_count_for_the_cap_of_a_run(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "451 4.3.0 later"}
    for key in ("p1", "p2"):
        practice.world.patient(key)
    practice.play(CAMPAIGN)
    assert practice.states() == {"deferred": 2}
    file = practice.settings.home / "campaigns" / f"{CAMPAIGN}.yaml"
    file.write_text(file.read_text().replace("letters_per_run: 5000", "letters_per_run: 2"))
    practice.settings = practice.at(NOW + timedelta(days=1)).settings
    practice.world.patient("p3")
    run = practice.open(CAMPAIGN)
    extract(run)
    gate(run)
    with pytest.raises(UnapprovedError) as asked:
        plan(run)
    assert "3 letters are due; the campaign allows 2 a run" in asked.value.question.body


def test_open_letters_are_spread_over_the_chunks(
    practice: Practice, hostile: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reengage.staging.PART_PATIENTS", 2)
    hostile.script = {"rcpt": "451 4.3.0 later"}
    for number in range(8):
        practice.world.patient(f"p{number}")
    practice.play(CAMPAIGN)
    practice.settings = practice.at(NOW + timedelta(days=1)).settings
    for number in range(8, 12):
        practice.world.patient(f"p{number}")
    run = practice.open(CAMPAIGN)
    extract(run)
    gate(run)
    assert len(plan(run)) == 2
    found = practice.rows("SELECT DISTINCT chunk FROM letter ORDER BY chunk")
    assert [row["chunk"] for row in found] == [0, 1]
    for chunk in plan(run):
        write_letters(run, chunk)
        check_letters(run, chunk)
    hostile.script = {}
    for chunk in plan(run):
        send(run, chunk)
    assert settle(run) == {"sent": 12}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contact": {"email": "jane doe@example.org"}}, "address_malformed"),
        ({"contact": {"email": f"{'x' * 72}@example.org"}}, "address_malformed"),
        ({"contact": {"email": "a@example.org\r\nBcc: b@example.org"}}, "address_malformed"),
        ({"appointment": {"location": "Clinic \u202eA"}}, "field_unusable"),
        ({"appointment": {"location": None}}, "field_unusable"),
    ],
)
def test_one_row_that_cannot_be_written_excludes_its_patient_and_stops_nobody(
    changes: dict[str, dict[str, object]],
    reason: str,
    practice: Practice,
    hostile: HostileRelay,
) -> None:
    practice.world.patient("p1", **changes)
    practice.world.patient("p2")
    run = practice.play(CAMPAIGN)
    assert practice.reasons(run) == {"p1": [reason], "p2": []}
    assert len(hostile.letters) == 1


def _seal_anew(practice: Practice, run: Run) -> None:
    """Give the letter without a sound seal the content of a letter that is due to p1."""
    from reengage.pipeline.addressed import Addressed
    from reengage.pipeline.composing import identity_of
    from reengage.sealing.way import Way

    [row] = practice.rows("SELECT * FROM letter WHERE state = 'composed'")
    way, message = Way("tls", "contract"), b"Subject: x\r\n\r\nx\r\n"
    letter = Addressed("p1", "p1@example.org", "en", {}, message, way)
    identity = identity_of(str(row["campaign"]), str(row["patient"]), str(row["period"]))
    key = run.keyring.create_data_key(run.run_id)
    with run.store.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE letter SET run_id = %s, sealed = %s WHERE letter_id = %s",
            (
                run.run_id,
                key.seal(letter.to_bytes(), bound_to=f"letter/{identity}"),
                row["letter_id"],
            ),
        )
