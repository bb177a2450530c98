"""PRV-06, PRV-21, PRV-22: what patients say on the page wins over the warehouse from the next claim
on, and is in the ledger.

Each test composes letters of another campaign for all patients, has one of them speak, and sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from backup import backed_up, restored
from daily import Practice
from patients import Portal, Waiting, confirmation, open_portal
from reengage.embedded.postgres import Postgres
from reengage.embedded.relay import RelayProcess
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from sealed import parsed
from sealed import said as shown_in
from sqlalchemy import text
from world import NOW

OTHER = "appointment_reminder"
NEW = "Elsewhere@Example.net"


@pytest.fixture(scope="module")
def portal(
    server: Postgres, relay_process: RelayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    """A service of this file's own: it sends a second campaign."""
    directory = tmp_path_factory.mktemp("wanted")
    with open_portal(server, relay_process, directory, patients=17) as up:
        yield up


def another_run(portal: Portal, days: int = 10, campaign: str = OTHER) -> tuple[Run, list]:
    """A later day's letters, composed and not sent yet."""
    later = portal.practice.at(NOW.replace(day=NOW.day + days))
    new_appointments(later)
    run = later.open(campaign)
    return run, later.hurry(run)


def new_appointments(practice: Practice) -> None:
    """Everybody has an appointment that nobody was reminded of."""
    practice.world.execute(
        "UPDATE contract.appointment SET appointment_key = appointment_key || '+', start_at = :at",
        at=practice.settings.now() + timedelta(days=10),
    )


def recipients(portal: Portal) -> set[str]:
    """Whom the relay took letters for since it was last emptied."""
    return {re.findall("<(.*)>", one.rcpt)[0] for one in portal.relay.letters}


def outcome(portal: Portal, run: Run, one: Waiting) -> tuple[str, str | None]:
    [row] = portal.rows(
        "SELECT state, reason FROM letter WHERE run_id = :r AND patient = :p",
        r=run.run_id, p=one.patient,
    )  # fmt: skip
    return row["state"], row["reason"]


def test_what_is_said_between_composing_and_claiming_withholds_the_letter(portal: Portal) -> None:
    speakers = {
        "all": ({"stop_all": True}, "opted_out"),
        "campaign": ({"stop_campaigns": [OTHER]}, "opted_out"),
        "purpose": ({"stop_purposes": ["treatment"]}, "opted_out"),
        "other purpose": ({"stop_purposes": ["marketing"]}, None),
        "other campaign": ({"stop_campaigns": ["health_education"]}, None),
        "revoked": ({"revoke": ["email"]}, "authorization_revoked"),
        "other revoked": ({"revoke": ["part2"]}, None),
        "restricted": ({"restrict": True}, "restriction"),
        "nothing": ({}, None),
    }
    run, chunks = another_run(portal)
    letters = {}
    for name, (wanted, _) in speakers.items():
        letters[name] = one = portal.next()
        answered = portal.say(one, portal.session(one), **wanted)
        assert answered.status_code == 200, answered.text
    for chunk in chunks:
        send(run, chunk)
    found = {name: outcome(portal, run, one)[1] for name, one in letters.items()}
    assert found == {name: reason for name, (_, reason) in speakers.items()}
    for name, kind in [
        ("all", "opt_out"),
        ("revoked", "revocation"),
        ("restricted", "restriction"),
    ]:
        [record] = portal.ledger(kind, letters[name].patient)
        assert record["detail"]["channel"] == "portal"
    # And the next extraction does not even compose.
    later = portal.practice.at(NOW.replace(day=NOW.day + 25))
    new_appointments(later)
    decided = later.reasons(_extracted(later))
    assert decided[letters["restricted"].key] == ["restriction"]
    assert decided[letters["purpose"].key] == ["opted_out"]
    assert decided[letters["nothing"].key] == []


def _extracted(practice) -> Run:
    from reengage.pipeline.extract import extract

    run = practice.open(OTHER, dry=True)
    extract(run)
    return run


def test_a_language_that_was_asked_for_is_the_language_of_the_next_letter(portal: Portal) -> None:
    one = portal.next()
    answered = portal.say(one, portal.session(one), language="es")
    assert answered.json()["language"] == "es"
    run, _ = another_run(portal, days=11)
    portal.relay.letters.clear()
    send(run, {"number": 0, "first": 0, "last": 0})
    [notice] = [parsed(x.content) for x in portal.relay.letters if one.key in x.rcpt]
    assert notice["Subject"] == "Prairie Family Health tiene una carta segura para usted"


@pytest.fixture
def moved(portal: Portal) -> Waiting:
    """A patient who named another address, whose message was sent."""
    one = portal.next()
    session = portal.session(one)
    with portal.client() as client:
        path = f"/api/letters/{one.message_id}/address"
        assert client.post(path, json={"address": NEW}, headers=session).status_code == 202
    return one


def test_another_address_holds_once_who_reads_its_mail_has_confirmed_it(
    portal: Portal, moved: Waiting
) -> None:
    run, _ = another_run(portal, days=12)
    portal.relay.letters.clear()
    assert portal.tend().sent == 1
    [message] = portal.relay.letters
    assert recipients(portal) == {NEW}
    link = confirmation(message.content)
    before = portal.rows("SELECT * FROM preference WHERE patient = :p AND kind = 'address'",
                         p=moved.patient)  # fmt: skip
    with portal.client() as client:
        assert client.get(link).status_code == 200
        assert before == []  # nothing changes by being asked, or looked at
        assert client.post(link).status_code == 200
        assert client.post(link).status_code == 404  # once
    portal.relay.letters.clear()
    send(run, {"number": 0, "first": 0, "last": 0})
    # Composed for the old address: not sent there any more.
    assert outcome(portal, run, moved) == ("withheld", "address_changed")
    [record] = portal.ledger("address", moved.patient)
    assert NEW.lower() not in repr(record).lower()
    again, _ = another_run(portal, days=13)
    send(again, {"number": 0, "first": 0, "last": 0})
    assert outcome(portal, again, moved) == ("sent", None)
    assert NEW in recipients(portal)
    assert f"{moved.key}@example.org" not in recipients(portal)


def test_the_message_to_a_new_address_holds_nothing_of_the_patient(
    portal: Portal, moved: Waiting
) -> None:
    portal.relay.letters.clear()
    portal.tend()
    [message] = portal.relay.letters
    said = shown_in(parsed(message.content))
    for secret in (moved.key, moved.patient, "Qanarymed", "1970", "68102", "letter_id"):
        assert secret not in said
    assert b"DKIM-Signature:" in message.content


def test_where_the_records_name_a_third_address_since_they_count_again(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    with portal.client() as client:
        client.post(f"/api/letters/{one.message_id}/address", json={"address": "b@example.net"},
                    headers=session)  # fmt: skip
        portal.relay.letters.clear()
        portal.tend()
        [message] = portal.relay.letters
        assert client.post(confirmation(message.content)).status_code == 200
    portal.practice.world.change("contact", one.key, email="third@example.org")
    run, _ = another_run(portal, days=14)
    portal.relay.letters.clear()
    send(run, {"number": 0, "first": 0, "last": 0})
    assert outcome(portal, run, one) == ("sent", None)
    assert "third@example.org" in recipients(portal)
    assert "b@example.net" not in recipients(portal)


def test_an_address_is_asked_at_most_three_times_a_day(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    with portal.client() as client:
        for number in range(5):
            answered = client.post(
                f"/api/letters/{one.message_id}/address",
                json={"address": f"n{number}@example.net"}, headers=session,
            )  # fmt: skip
            assert answered.status_code == 202  # whether it was used is not told
    portal.relay.letters.clear()
    assert portal.tend().sent == 3


@pytest.mark.parametrize("address", ["x", "a@b", "a b@example.org", "a@example.org\r\nBcc: x@y.z",
                                     "<script>@example.org"])  # fmt: skip
def test_an_address_that_is_none_is_not_written_to(portal: Portal, address: str) -> None:
    one = portal.letters[-1]
    session = portal.session(one)
    with portal.client() as client:
        answered = client.post(
            f"/api/letters/{one.message_id}/address", json={"address": address}, headers=session
        )
    assert answered.status_code == 422


def test_a_store_that_came_back_without_the_address_holds_the_letters_back(portal: Portal) -> None:
    """SEC-08: a backup of before is restored; the journal says that there was a wish."""
    one = portal.next()
    session = portal.session(one)
    with portal.run.store.connect() as connection:
        backup = backed_up(connection)
    with portal.client() as client:
        client.post(f"/api/letters/{one.message_id}/address", json={"address": "c@example.net"},
                    headers=session)  # fmt: skip
        portal.relay.letters.clear()
        portal.tend()
        [message] = portal.relay.letters
        assert client.post(confirmation(message.content)).status_code == 200
    with portal.run.store.connect() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("TRUNCATE preference, restriction, portal_address"))
        connection.commit()
        restored(connection, backup)
    run, _ = another_run(portal, days=15)
    assert portal.practice.reasons(run)[one.key] == ["address_lost"]


def test_preferences_are_for_a_session_only(portal: Portal) -> None:
    one = portal.letters[-2]
    for path in ("preferences", "ciphertext"):
        assert portal.fetch(one, {}, path).status_code == 401
    with portal.client() as client:
        answered = client.post(f"/api/letters/{one.message_id}/preferences", json={})
        assert answered.status_code == 401


def test_html_in_every_field_is_neither_shown_nor_kept(portal: Portal) -> None:
    one = portal.letters[-1]
    session = portal.session(one)
    html = "<img src=x onerror=alert(1)>"
    for wanted in (
        {"stop_campaigns": [html]},
        {"language": html},
        {html: html},
        {"revoke": [html]},
    ):
        answered = portal.say(one, session, **wanted)
        assert answered.status_code == 422
        assert html not in answered.text


def test_an_older_mailbox_learns_nothing_of_the_newer_and_moves_nothing_back(
    portal: Portal,
) -> None:
    """PRV-21: who moved may have cause to keep it from who reads the address on file."""
    one = portal.next()
    session = portal.session(one)
    path = f"/api/letters/{one.message_id}"
    with portal.client() as client:
        client.post(f"{path}/address", json={"address": "c@example.net"}, headers=session)
        portal.relay.letters.clear()
        portal.tend()
        [message] = portal.relay.letters
        assert client.post(confirmation(message.content)).status_code == 200
        seen = client.get(f"{path}/preferences", headers=session).json()
        assert not seen["another_address"]
        assert not seen["offers_another_address"]
        back = client.post(f"{path}/preferences", json={"address_on_file": True}, headers=session)
        other = client.post(f"{path}/address", json={"address": "x@example.net"}, headers=session)
    assert (back.status_code, other.status_code) == (422, 422)
