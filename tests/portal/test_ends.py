"""A letter whose time is over: nothing of it is left but that it was, and its reader is heard."""

from __future__ import annotations

from datetime import timedelta

import pytest
from patients import CANARY, RIGHT, Portal, Waiting
from reengage import suppressions
from reengage.cli.main import main
from reengage.errors import LedgerError
from reengage.pipeline.deposits import OPT_OUT_YEARS, remove_expired
from reengage.portal import keeper
from world import NOW


def over(portal: Portal, one: Waiting) -> None:
    portal.execute(
        "UPDATE portal_message SET expires_at = :at WHERE message_id = :m",
        at=NOW - timedelta(seconds=1), m=one.message_id,
    )  # fmt: skip


def row_of(portal: Portal, one: Waiting) -> dict[str, object]:
    [row] = portal.rows("SELECT * FROM portal_message WHERE message_id = :m", m=one.message_id)
    return row


def suppressed(portal: Portal, one: Waiting) -> list[bool]:
    """Whether each suppression of the letter's address is lifted."""
    rows = portal.rows(
        "SELECT s.lifted_at FROM suppression s JOIN portal_message m USING (recipient)"
        " WHERE m.message_id = :m AND s.reason = 'not_me' ORDER BY s.at", m=one.message_id,
    )  # fmt: skip
    return [row["lifted_at"] is not None for row in rows]


def report(portal: Portal, one: Waiting) -> None:
    with portal.client() as client:
        assert client.post(f"/api/letters/{one.message_id}/report").status_code == 202


def test_the_keeper_removes_what_could_be_read_and_tried_without_any_run(portal: Portal) -> None:
    one, other = portal.next(), portal.next()
    session = portal.session(one)
    over(portal, one)
    assert portal.tend().expired >= 1
    assert (bytes(row_of(portal, one)["sealed"]), row_of(portal, one)["verifier"]) == (b"", None)
    assert portal.fetch(one, session).status_code == 401
    assert portal.answer(one.message_id, RIGHT).status_code == 403
    assert CANARY in portal.open(other).text
    assert portal.tend().expired == 0


def test_whoever_says_after_its_end_that_it_is_not_theirs_is_heard(portal: Portal) -> None:
    one = portal.next()
    over(portal, one)
    portal.tend()
    report(portal, one)
    assert portal.tend().incidents >= 1
    assert suppressed(portal, one) == [False]
    [record] = portal.ledger("incident", one.patient)
    assert record["detail"]["kind"] == "not_me"


@pytest.mark.usefixtures("desk")
def test_an_incident_of_a_letter_whose_time_is_over_is_closed_and_said_to_be_so(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    one = portal.next()
    over(portal, one)
    report(portal, one)
    portal.tend()
    portal.execute("DELETE FROM portal_guess WHERE message_id = :m", m=one.message_id)  # 91 days
    [row] = portal.rows("SELECT * FROM portal_incident WHERE message_id = :m", m=one.message_id)
    assert main(["portal", "incidents"]) == 0
    assert "its time is over" in capsys.readouterr().out
    assert main(["portal", "reopen", str(row["incident_id"])]) == 0
    assert "the letter's time is over" in capsys.readouterr().out
    assert suppressed(portal, one) == [True]
    assert portal.rows("SELECT 1 FROM portal_incident WHERE closed_at IS NULL AND message_id = :m",
                       m=one.message_id) == []  # fmt: skip
    assert main(["portal", "reopen", str(row["incident_id"])]) == 1


@pytest.mark.usefixtures("desk")
def test_what_was_said_once_is_one_suppression_whatever_fails_in_between(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal has it from a try whose transaction failed; a second one finds it there."""
    one = portal.next()
    portal.tend()
    report(portal, one)

    def fails(*_: object) -> None:
        raise LedgerError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(keeper, "append", fails)
        with pytest.raises(LedgerError):
            portal.tend()
    assert portal.tend().incidents == 1
    assert suppressed(portal, one) == [False]
    report(portal, one)
    assert portal.tend().incidents == 0
    [row] = portal.rows("SELECT * FROM portal_incident WHERE message_id = :m", m=one.message_id)
    assert main(["portal", "reopen", str(row["incident_id"])]) == 0
    assert suppressed(portal, one) == [True]
    report(portal, one)  # who says so again says another thing
    assert portal.tend().incidents == 1
    assert suppressed(portal, one) == [True, False]


def test_a_lifting_that_only_the_journal_has_is_put_on_record_by_whoever_comes_next(
    portal: Portal,
) -> None:
    one = portal.next()
    report(portal, one)
    portal.tend()
    settings = portal.practice.settings
    with portal.run.store.connect() as connection:
        [which] = [
            held.suppression_id
            for held in suppressions.listed(connection, NOW)
            if held.letter_id == row_of(portal, one)["letter_id"]
        ]
        suppressions.lift(connection, settings.suppressions_path, which, at=NOW, by="olga")
        connection.rollback()  # as where its record could not be written
        suppressions.replay(connection, settings.suppressions_path)
        connection.commit()
    portal.tend()
    portal.tend()
    found = portal.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
        " WHERE kind = 'access' AND subject = 'olga'"
    )
    said = [row["body"]["detail"] for row in found]
    assert [(one["suppression"], one["caught_up"]) for one in said] == [(str(which), True)]


def test_the_row_goes_as_long_after_as_its_links(portal: Portal) -> None:
    one = portal.next()
    over(portal, one)
    with portal.run.store.connect() as connection:
        remove_expired(connection, NOW)
        for days, left in ((-2, 1), (0, 0)):
            remove_expired(connection, NOW + timedelta(days=366 * OPT_OUT_YEARS + days))
            found = connection.exec_driver_sql(
                "SELECT count(*) FROM portal_message WHERE message_id = %s", (one.message_id,)
            ).scalar_one()
            assert found == left
        connection.rollback()
