"""Dry runs and replays: everything but the conversation, and no real letter is touched."""

from __future__ import annotations

import mailbox
from datetime import timedelta

from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.pipeline.attempts import incarnation
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW


def rehearsed(practice: Practice) -> list[str]:
    directory = practice.settings.rehearsal_maildir
    assert directory is not None
    box = mailbox.Maildir(directory, create=True)
    return [str(message["Message-ID"]) for message in box]


def test_a_dry_run_leaves_its_letters_in_the_rehearsal_and_disturbs_nobody(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    dry = run_of(ready_practice, ready.dry)
    assert send(dry, CHUNK) == send(dry, CHUNK) == {"rehearsed": LETTERS}
    assert len(set(rehearsed(ready_practice))) == len(rehearsed(ready_practice)) == LETTERS
    assert relay.connections == 0
    second = ready_practice.play(CAMPAIGN, dry=True)
    assert len(rehearsed(ready_practice)) == 2 * LETTERS
    assert settle(second) == {"rehearsed": LETTERS}
    assert relay.connections == 0
    assert send(run_of(ready_practice, ready.live), CHUNK) == {"sent": LETTERS}
    assert sorted(taken(relay)) == sorted(set(rehearsed(ready_practice)))


def test_rehearsed_letters_are_for_their_owners_eyes_only(
    ready_practice: Practice, ready: Ready
) -> None:
    send(run_of(ready_practice, ready.dry), CHUNK)
    directory = ready_practice.settings.rehearsal_maildir
    assert directory is not None
    modes = {path.stat().st_mode & 0o777 for path in (directory / "new").iterdir()}
    assert (modes, directory.stat().st_mode & 0o777) == ({0o600}, 0o700)
    assert list((directory / "tmp").iterdir()) == []


def test_a_live_run_cleared_on_a_later_day_sends_nothing_and_leaves_it_to_the_next(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {"mail": ["451 4.3.0 later"] * 2 + ["250 ok"]}
    assert send(run_of(ready_practice, ready.live), CHUNK) == {"deferred": 2, "sent": 3}
    tomorrow = ready_practice.at(NOW + timedelta(days=1))
    replay = tomorrow.play(CAMPAIGN, run_id=ready.live)
    assert replay.mode == "replay"
    assert len(relay.letters) == 3
    assert sorted(states(tomorrow, replay), key=str)[:2] == [("deferred", "mail 451 4.3.0")] * 2
    run = tomorrow.play(CAMPAIGN)
    assert states(tomorrow, run) == [("sent", None)] * 2
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_a_live_run_killed_and_cleared_on_a_later_day_adds_up(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.begin() as connection:
        connection.execute(
            text("UPDATE letter SET state = 'claimed', incarnation = :now WHERE rehearsal IS NULL"),
            {"now": incarnation(connection)},
        )
    tomorrow = ready_practice.at(NOW + timedelta(days=1))
    replay = tomorrow.play(CAMPAIGN, run_id=ready.live)
    assert states(tomorrow, replay) == [("deferred", "run_became_a_replay")] * LETTERS
    assert relay.letters == []
