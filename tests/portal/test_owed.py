"""What a patient said is in force and on record once, whatever fails (PRV-06, EML-26)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from patients import CAMPAIGN, Portal, Waiting
from reengage import opt_outs, refusals
from reengage.cli.main import main
from reengage.errors import LedgerError
from rooms import environment

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@contextmanager
def no_ledger(portal: Portal) -> Iterator[None]:
    """The ledger takes nothing: what is said reaches the journal, and no further."""
    portal.execute("REVOKE INSERT ON ledger_entry FROM reengage_portal")
    try:
        yield
    finally:
        portal.execute("GRANT INSERT ON ledger_entry TO reengage_portal")


def one_click(portal: Portal, one: Waiting) -> int:
    with portal.client() as client:
        return client.post(one.opt_out, data=ONE_CLICK).status_code


def records(portal: Portal, one: Waiting) -> list[tuple[str, bool]]:
    return [
        (record["detail"]["channel"], "caught_up" in record["detail"])
        for record in portal.ledger("opt_out", one.patient)
    ]


def stopped(portal: Portal, one: Waiting) -> list[str]:
    rows = portal.rows("SELECT campaign FROM opt_out WHERE patient = :p", p=one.patient)
    return [row["campaign"] for row in rows]


def fails(portal: Portal, one: Waiting) -> None:
    with no_ledger(portal):
        assert one_click(portal, one) == 503
    assert (stopped(portal, one), records(portal, one)) == ([], [])
    journal = portal.practice.settings.journal_path.read_text(encoding="utf-8")
    assert one.patient in journal


def test_a_second_try_finishes_what_the_first_one_left(portal: Portal) -> None:
    one = portal.next()
    fails(portal, one)
    for _ in range(2):
        assert one_click(portal, one) == 200
        assert (stopped(portal, one), records(portal, one)) == ([CAMPAIGN], [("one_click", True)])


def test_without_a_second_try_the_keeper_puts_it_on_record_once(portal: Portal) -> None:
    one = portal.next()
    fails(portal, one)
    with portal.run.store.begin() as connection:  # as every claim does
        refusals.replay(connection, portal.practice.settings.journal_path)
    assert (stopped(portal, one), records(portal, one)) == ([CAMPAIGN], [])
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(portal.tend) for _ in range(2)]:
            done.result()
    assert records(portal, one) == [("one_click", True)]
    portal.tend()
    assert len(records(portal, one)) == 1


def test_whoever_speaks_next_puts_it_on_record_with_their_own(portal: Portal) -> None:
    one, other = portal.next(), portal.next()
    fails(portal, one)
    assert one_click(portal, other) == 200
    assert records(portal, one) == [("one_click", True)]
    assert records(portal, other) == [("one_click", False)]


def test_what_is_told_at_the_desk_is_recorded_in_the_name_of_who_was_told(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = portal.next()
    for name, value in environment(portal.practice.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    told = ["opt-out", "--patient", one.key, "--campaign", CAMPAIGN, "--channel", "phone"]
    assert main(told) == 0
    portal.tend()
    [record] = portal.ledger("opt_out", one.patient)
    assert (record["actor"], record["detail"].get("caught_up")) == ("olga", None)


def test_what_the_journal_tells_a_store_that_came_back_is_on_record_there(portal: Portal) -> None:
    """Nobody told this store: a line of the journal that its backup did not have."""
    one = portal.next()
    settings = portal.practice.settings
    with portal.run.store.connect() as connection:
        opt_outs.tell(
            connection, portal.run.keyring, settings.journal_path, one.patient,
            [("restriction", None)], channel="desk",
        )  # fmt: skip
        connection.rollback()
    with portal.run.store.begin() as connection:
        refusals.mend(connection, settings.journal_path)
        refusals.mend(connection, settings.journal_path)
    portal.tend()
    [record] = portal.ledger("restriction", one.patient)
    assert (record["actor"], record["detail"]["caught_up"]) == ("practice", True)


def test_the_page_says_that_it_is_not_finished_and_not_that_nothing_changed(
    portal: Portal,
) -> None:
    one = portal.next()
    with no_ledger(portal), portal.client() as client:
        answered = client.post(one.opt_out, data={"stop": "this"})
    assert answered.status_code == 503
    assert "could not finish" in answered.text
    assert "othing was changed" not in answered.text
    assert LedgerError.__name__ not in answered.text
