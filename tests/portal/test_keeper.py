"""The keeper: incidents, the practice is told, letters are reopened, what is over is removed."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from patients import CANARY, Portal, unknown_id
from reengage.cli.main import main
from reengage.portal import keeper


def test_a_locked_letter_is_an_incident_and_the_practice_is_told_once(portal: Portal) -> None:
    one = portal.next()
    portal.lock(one.message_id)
    portal.lock(unknown_id())  # is nobody's letter
    portal.relay.letters.clear()
    assert portal.tend().incidents >= 1
    [row] = portal.rows("SELECT * FROM portal_incident WHERE message_id = :m", m=one.message_id)
    assert (row["kind"], row["closed_at"]) == ("locked", None)
    told = [message_from_bytes(letter.content) for letter in portal.relay.letters]
    [notice] = [one for one in told if str(row["incident_id"]) in one["Subject"]]
    assert notice["To"] == "office@prairie.example.org"
    text = notice.get_payload(decode=True).decode()
    for secret in (one.key, one.patient, one.message_id, CANARY):
        assert secret not in text
    [record] = portal.ledger("incident", one.patient)
    assert record["detail"]["kind"] == "locked"
    portal.relay.letters.clear()
    assert portal.tend().incidents == 0
    assert portal.relay.letters == []


def test_nothing_more_goes_to_the_address_of_who_says_that_it_is_not_theirs(portal: Portal) -> None:
    one = portal.next()
    with portal.client() as client:
        client.post(f"/api/letters/{one.message_id}/report")
    portal.tend()
    [row] = portal.rows(
        "SELECT s.reason FROM suppression s JOIN portal_message m USING (recipient)"
        " WHERE m.message_id = :m", m=one.message_id,
    )  # fmt: skip
    assert row["reason"] == "not_me"


@pytest.mark.usefixtures("desk")
def test_the_practice_reopens_a_letter_and_is_on_record(portal: Portal) -> None:
    one = portal.next()
    with portal.client() as client:
        client.post(f"/api/letters/{one.message_id}/report")
    portal.tend()
    [row] = portal.rows("SELECT * FROM portal_incident WHERE message_id = :m", m=one.message_id)
    assert main(["portal", "reopen", str(row["incident_id"])]) == 0
    assert CANARY in portal.open(one).text
    [after] = portal.rows("SELECT * FROM portal_incident WHERE message_id = :m", m=one.message_id)
    assert after["closed_by"]
    assert portal.rows(
        "SELECT 1 FROM suppression s JOIN portal_message m USING (recipient)"
        " WHERE m.message_id = :m AND s.lifted_at IS NULL", m=one.message_id,
    ) == []  # fmt: skip
    [record] = portal.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
        " WHERE kind = 'access' ORDER BY index DESC LIMIT 1 OFFSET 1"  # then it was opened
    )
    assert (record["body"]["action"], record["body"]["of"]) == ("approved", "reopening")


@pytest.mark.parametrize("how", ["message_id", "letter_id"])
def test_a_letter_is_reopened_by_its_own_id_too_once(portal: Portal, how: str) -> None:
    one = portal.next()
    portal.lock(one.message_id)
    [row] = portal.rows("SELECT * FROM portal_message WHERE message_id = :m", m=one.message_id)
    settings = portal.practice.settings
    with portal.run.store.begin() as connection:
        for expected in (True, False):
            done = keeper.reopen(
                connection, settings.home, str(row[how]), "somebody",
                journal=settings.suppressions_path, at=settings.now(),
            )  # fmt: skip
            assert (done is not None) is expected
            assert done is None or (done.letter_id, done.opens) == (row["letter_id"], True)
    assert CANARY in portal.open(one).text


@pytest.mark.usefixtures("desk")
def test_the_practice_sees_whose_letters_are_locked_and_is_on_record(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    one = portal.next()
    portal.lock(one.message_id)
    portal.tend()
    assert main(["portal", "incidents"]) == 0
    assert one.key in capsys.readouterr().out


def test_what_is_over_is_removed(portal: Portal) -> None:
    one = portal.next()
    portal.session(one)
    portal.execute("UPDATE portal_session SET expires_at = '2020-01-01' WHERE message_id = :m",
                   m=one.message_id)  # fmt: skip
    gone = unknown_id()
    portal.lock(gone)
    portal.execute("UPDATE portal_guess SET last_at = '2020-01-01' WHERE message_id = :m", m=gone)
    assert portal.tend().removed >= 2
    assert portal.rows("SELECT 1 FROM portal_session WHERE message_id = :m", m=one.message_id) == []
    assert portal.rows("SELECT 1 FROM portal_guess WHERE message_id = :m", m=gone) == []
