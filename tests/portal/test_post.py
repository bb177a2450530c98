"""The portal's own messages: what the practice must know first, and nobody holds the others up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from patients import Portal
from reengage.portal.post import LOST_SECONDS
from reengage.sql import load_sql


@pytest.fixture(autouse=True)
def nothing_waits(portal: Portal) -> Iterator[None]:
    portal.tend()  # what other tests left
    portal.execute("DELETE FROM portal_mail")
    portal.relay.letters.clear()
    yield
    portal.execute("DELETE FROM portal_mail")
    portal.relay.letters.clear()


def queue(portal: Portal, to: str, kind: str = "confirm_address", ago: int = 0) -> UUID:
    """A message that waits since so many seconds."""
    content = {"to": to, "token": "x", "kind": "locked", "incident": "x", "language": "en"}
    sealed = portal.run.keyring.purpose_key("portal").seal(
        json.dumps(content).encode(), bound_to=f"mail/{kind}"
    )
    portal.execute(
        "INSERT INTO portal_mail (kind, sealed, queued_at) VALUES"
        " (:kind, :sealed, clock_timestamp() - :ago * INTERVAL '1 second')",
        kind=kind, sealed=sealed, ago=ago,
    )  # fmt: skip
    [row] = portal.rows("SELECT mail_id FROM portal_mail ORDER BY queued_at DESC LIMIT 1")
    return UUID(str(row["mail_id"]))


def sent(portal: Portal) -> list[str]:
    found = [letter.rcpt.partition("<")[2].partition("@")[0] for letter in portal.relay.letters]
    portal.relay.letters.clear()
    return found


@contextmanager
def put_off(portal: Portal, who: str) -> Iterator[None]:
    """Recipients of whom the relay says: later."""

    def look() -> None:
        later = f"<{who}" in portal.relay.commands[-1]
        portal.relay.script = {"rcpt": "451 4.7.1 later"} if later else {}

    portal.relay.at("rcpt", look)
    try:
        yield
    finally:
        portal.relay.at("rcpt", lambda: None)
        portal.relay.script = {}


def all_is_due(portal: Portal) -> None:
    portal.execute("UPDATE portal_mail SET not_before = '-infinity'")


def test_incidents_go_first_whatever_waits_longer(portal: Portal) -> None:
    queue(portal, "first@example.net", ago=300)
    queue(portal, "office@example.net", "incident")
    assert portal.tend().sent == 2
    assert sent(portal) == ["office", "first"]


def test_an_address_that_is_always_put_off_holds_nobody_up(portal: Portal) -> None:
    with put_off(portal, "bad"):
        queue(portal, "bad@example.net", "incident", ago=600)
        queue(portal, "bad2@example.net", ago=500)
        queue(portal, "good@example.net")
        done = portal.tend()
        assert (done.sent, done.waiting, done.lost) == (1, 2, 0)
        assert sent(portal) == ["good"]
        assert portal.tend().sent == 0  # each waits its turn
        rows = portal.rows("SELECT tries FROM portal_mail WHERE outcome = 'deferred'")
        assert [row["tries"] for row in rows] == [1, 1]
        all_is_due(portal)
        queue(portal, "later@example.net")
        assert portal.tend().sent == 1
    all_is_due(portal)
    assert portal.tend().sent == 2
    assert portal.rows("SELECT 1 FROM portal_mail WHERE length(sealed) > 0") == []


def test_what_was_put_off_for_too_long_will_reach_nobody_and_is_told(portal: Portal) -> None:
    with put_off(portal, "bad"):
        queue(portal, "bad@example.net", ago=2 * 86_400)
        queue(portal, "bad@example.net", "incident", ago=2 * 86_400)
        done = portal.tend()
    assert (done.sent, done.waiting, done.lost) == (0, 1, 1)
    [row] = portal.rows("SELECT kind FROM portal_mail WHERE length(sealed) > 0")
    assert row["kind"] == "incident"


def test_one_that_cannot_be_read_holds_nobody_up(portal: Portal) -> None:
    queue(portal, "x@example.net", "incident")
    portal.execute("UPDATE portal_mail SET sealed = 'nonsense'")
    queue(portal, "no address at all", ago=10)
    queue(portal, "good@example.net")
    done = portal.tend()
    assert (done.sent, done.lost, sent(portal)) == (1, 2, ["good"])


@pytest.mark.parametrize("before", ["nothing", "put off"])
def test_one_whose_try_ended_without_a_word_is_tried_again(portal: Portal, before: str) -> None:
    """Its first try, or a later one: what the relay said before is no word of this one."""
    which = queue(portal, "office@example.net", "incident")
    if before == "put off":
        with put_off(portal, "office"):
            assert portal.tend().waiting == 1
    all_is_due(portal)
    portal.execute(load_sql(portal.practice.settings.home, "portal/next_mail.sql"), lost=60)
    assert portal.tend().waiting == 1
    claimed = "UPDATE portal_mail SET claimed_at = clock_timestamp() - :ago * INTERVAL '1 second'"
    portal.execute(f"{claimed} WHERE mail_id = :m", ago=LOST_SECONDS - 60, m=which)
    assert (portal.tend().sent, sent(portal)) == (0, [])  # somebody may be at it
    portal.execute(f"{claimed} WHERE mail_id = :m", ago=LOST_SECONDS + 1, m=which)
    assert (portal.tend().sent, sent(portal)) == (1, ["office"])
