"""Letters that wait at the portal, from the claim until their time is over."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from reengage.errors import KeyringError
from reengage.pipeline import attempts, outbox
from reengage.pipeline.deposits import open_deposit, remove_expired
from reengage.pipeline.run import Run, resume
from reengage.pipeline.settle import settle, shred
from reengage.sealing import portal
from sealed import CAMPAIGN, CANARY, PORTAL, House, parsed, said
from simulators.smtp import HostileRelay
from world import NOW


def test_a_letter_at_the_portal_opens_by_the_link_in_its_notice_and_by_nothing_else(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.checked()
    assert house.practice.rows("SELECT * FROM portal_message") == []  # nothing before the claim
    house.send(run)
    [letter] = hostile.letters
    notice = parsed(letter.content)
    assert CANARY not in said(notice)
    [link] = set(re.findall(re.escape(PORTAL) + r"[\w#-]+", said(notice)))
    named = portal.key_of(link, portal_url=PORTAL)
    assert named is not None
    message_id, key = named
    [row] = house.practice.rows("SELECT * FROM portal_message")
    assert row["message_id"] == message_id
    sealed: Any = row["sealed"]
    with pytest.raises(KeyringError):  # the row alone, even with the link
        portal.pick_up(sealed, key=key, message_id=message_id)
    ciphertext = open_deposit(run.keyring, message_id, sealed)
    page = portal.pick_up(ciphertext, key=key, message_id=message_id)
    assert f"{CANARY} p1" in page.text
    assert f"{CANARY} p1" in page.html
    assert CANARY not in ciphertext.decode("latin-1")


def test_the_key_of_a_letter_at_the_portal_is_nowhere_but_in_the_mail_once_the_run_is_over(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    settle(run)
    shred(run)
    [letter] = hostile.letters
    [key] = set(re.findall(r"#([\w-]{43})", said(parsed(letter.content))))
    tables = house.practice.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    for table in tables:
        for row in house.practice.rows(f'SELECT * FROM "{table["table_name"]}"'):
            assert key not in str(row)
    files = [path for path in house.practice.settings.keyring.rglob("*") if path.is_file()]
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_what_waits_at_the_portal_goes_when_its_time_is_over(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    with run.store.begin() as connection:
        assert remove_expired(connection, NOW.replace(month=7, day=1)) == 0
        assert remove_expired(connection, NOW.replace(month=7, day=3)) == 1


def test_a_letter_that_the_relay_refuses_leaves_nothing_at_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "550 5.1.1 no such user"}
    house.with_portal().without_guarantee().patient("p1")
    house.send(house.run())
    assert house.practice.states() == {"refused": 1}
    assert house.practice.rows("SELECT * FROM portal_message") == []


def test_the_time_at_the_portal_begins_with_the_claim_that_the_letter_goes_under(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": ["451 4.7.1 later", "250 2.1.5 ok"]}
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    [before] = house.practice.rows("SELECT * FROM portal_message")
    later = replace(run, settings=house.practice.at(NOW + timedelta(hours=1)).settings)
    house.send(later)
    assert house.practice.states() == {"sent": 1}
    [after] = house.practice.rows("SELECT * FROM portal_message")
    assert after["message_id"] == before["message_id"]
    assert after["expires_at"] == before["expires_at"] + timedelta(hours=1)  # type: ignore[operator]


def released(house: House) -> Run:
    """A run whose portal letter was claimed and given back."""
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    with run.store.connect() as connection:
        letters = outbox.open_letters(connection, run, 0)
        outbox.claim(
            connection, run, letters, token=uuid4(), denied={}, consents={},
            warehouse_read_at=outbox.clock(connection), baa_id="x",
        )  # fmt: skip
        connection.commit()
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1
    with run.store.begin() as connection:
        attempts.release(connection, run, 0)
    return run


def test_a_letter_that_is_given_back_leaves_nothing_at_the_portal_and_may_be_composed_anew(
    house: House, hostile: HostileRelay
) -> None:
    run = released(house)
    assert house.practice.rows("SELECT * FROM portal_message") == []
    house.practice.hurry(run)
    house.send(run)
    assert house.practice.states() == {"sent": 1}


def test_a_letter_that_is_withheld_at_a_later_look_leaves_nothing_at_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "451 4.7.1 later"}
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1
    house.practice.world.set("opt_out", patient_key="p1", campaign=None, at=NOW)
    in_an_hour = house.practice.at(NOW + timedelta(hours=1))
    house.send(resume(in_an_hour.settings, CAMPAIGN, run.run_id))
    assert house.outcomes() == {"p1": "opted_out"}
    assert house.practice.rows("SELECT * FROM portal_message") == []


def test_a_rehearsal_takes_nothing_away_from_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    house.send(house.run())
    ahead = house.practice.at(NOW + timedelta(days=60)).open(CAMPAIGN, dry=True)
    settle(ahead)
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1
