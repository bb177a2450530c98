"""Which of the addresses that a patient named counts, and for how long any is kept (PRV-21)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from patients import Portal, Waiting, confirmation
from reengage.embedded.processes import wait_until
from reengage.portal import keeper
from reengage.sql import load_sql
from sqlalchemy import text


@pytest.fixture(autouse=True)
def nothing_waits(portal: Portal) -> None:
    portal.tend()
    portal.relay.letters.clear()


def ask(portal: Portal, one: Waiting, session: dict[str, str], *addresses: str) -> None:
    path = f"/api/letters/{one.message_id}/address"
    for address in addresses:
        with portal.client() as client:
            answered = client.post(path, json={"address": address}, headers=session)
        assert answered.status_code == 202


def links(portal: Portal) -> dict[str, str]:
    """By the address, the newest link that was sent there."""
    portal.tend()
    found = {
        letter.rcpt.partition("<")[2].partition(">")[0]: confirmation(letter.content)
        for letter in portal.relay.letters
    }
    portal.relay.letters.clear()
    return found


def press(portal: Portal, link: str) -> int:
    with portal.client() as client:
        return client.post(link).status_code


def kept(portal: Portal, one: Waiting) -> list[dict[str, Any]]:
    return portal.rows("SELECT * FROM portal_address WHERE patient = :p", p=one.patient)


def test_the_address_named_last_counts_and_the_older_message_confirms_nothing(
    portal: Portal,
) -> None:
    """The older one may have been mistyped, and be a stranger's."""
    one = portal.next()
    session = portal.session(one)
    ask(portal, one, session, "older@example.net", "newer@example.net")
    sent = links(portal)
    assert press(portal, sent["older@example.net"]) == 404
    assert press(portal, sent["newer@example.net"]) == 200
    assert press(portal, sent["older@example.net"]) == 404
    assert len(kept(portal, one)) == 1 + len(links(portal))  # what was taken back is forgotten
    assert len(portal.ledger("address", one.patient)) == 1


def test_of_two_who_name_addresses_at_once_the_later_takes_back_what_the_first_named(
    portal: Portal,
) -> None:
    """It waits for the first, whose transaction is not at its end, and then sees what it said."""
    one = portal.next()
    session = portal.session(one)
    alone = load_sql(portal.practice.settings.home, "portal/alone.sql")
    with ThreadPoolExecutor(1) as pool:
        with portal.run.store.begin() as first:
            first.execute(text(alone), {"patient": one.patient})
            later = pool.submit(ask, portal, one, session, "later@example.net")
            wait_until(lambda: bool(portal.rows(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"
            )), seconds=20, what="the later one", every=0.02)  # fmt: skip
            first.execute(
                text(
                    "INSERT INTO portal_address (patient, recipient, instead_of, sealed, token,"
                    " language, asked_at) VALUES (:p, 'first', 'x', '', 'x', 'en', now())"
                ),
                {"p": one.patient},
            )
        later.result()
    confirmable = [row["recipient"] for row in kept(portal, one) if row["token"] is not None]
    assert len(confirmable) == 1
    assert confirmable != ["first"]
    assert press(portal, links(portal)["later@example.net"]) == 200


def test_an_address_that_is_named_again_can_be_confirmed_again(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    ask(portal, one, session, "a@example.net", "b@example.net", "a@example.net")
    assert press(portal, links(portal)["a@example.net"]) == 200


def test_who_presses_the_button_twice_gets_one_message(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    ask(portal, one, session, "a@example.net", "a@example.net")
    portal.tend()
    [message] = portal.relay.letters
    assert press(portal, confirmation(message.content)) == 200


def test_one_that_is_not_asked_any_more_today_still_takes_the_others_back(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    ask(portal, one, session, *(f"n{number}@example.net" for number in range(4)))
    sent = links(portal)
    assert sorted(sent) == [f"n{number}@example.net" for number in range(3)]
    assert {press(portal, link) for link in sent.values()} == {404}


def test_an_address_is_forgotten_when_the_patient_moved_on(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    ask(portal, one, session, "first@example.net")
    assert press(portal, links(portal)["first@example.net"]) == 200
    portal.tend()
    assert len(kept(portal, one)) == 1
    portal.execute(  # this letter left after that
        "UPDATE portal_message SET left_at = clock_timestamp() WHERE message_id = :m",
        m=one.message_id,
    )
    assert portal.say(one, session, address_on_file=True).status_code == 200
    portal.tend()
    assert kept(portal, one) == []


@pytest.mark.parametrize(("written", "left"), [("7 years", 0), ("5 years", 1)])
def test_an_address_to_which_nobody_wrote_for_years_is_forgotten(
    portal: Portal, written: str, left: int
) -> None:
    one = portal.next()
    ask(portal, one, portal.session(one), "first@example.net")
    assert press(portal, links(portal)["first@example.net"]) == 200
    years = keeper.ADDRESS_YEARS.days + 1
    portal.execute(
        "UPDATE portal_address SET confirmed_at = clock_timestamp() - :d * INTERVAL '1 day'"
        " WHERE patient = :p", d=years, p=one.patient,
    )  # fmt: skip
    portal.execute(
        f"UPDATE letter SET settled_at = clock_timestamp() - INTERVAL '{written}'"
        " WHERE patient = :p", p=one.patient,
    )  # fmt: skip
    portal.tend()
    assert len(kept(portal, one)) == left
