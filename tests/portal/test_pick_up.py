"""Picking a letter up: an answer, a session, the ciphertext once; and everything that is not so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from patients import BIRTH, RIGHT, WRONG, ZIP, Portal, unknown_id
from reengage.errors import KeyringError
from reengage.pipeline.deposits import remove_expired
from sealed import CANARY
from world import NOW


def test_the_right_answer_opens_the_letter_with_the_key_of_the_link(portal: Portal) -> None:
    one = portal.next()
    page = portal.open(one)
    assert f"{CANARY} {one.key}" in page.text
    [row] = portal.rows("SELECT * FROM portal_message WHERE message_id = :m", m=one.message_id)
    assert row["openings"] == 1
    assert row["opened_at"] is not None


def test_who_opened_a_letter_is_in_the_ledger(portal: Portal) -> None:
    one = portal.next()
    portal.open(one)
    [record] = portal.ledger("letter", one.patient)
    assert (record["actor"], record["action"]) == ("patient", "opened")


@pytest.mark.parametrize(
    "answer",
    [
        WRONG, {"birth_date": BIRTH, "second": "68103"},
        {"birth_date": "1970-01-02", "second": ZIP},
    ],
)  # fmt: skip
def test_an_answer_that_is_half_right_is_wrong(portal: Portal, answer: dict[str, str]) -> None:
    answered = portal.answer(portal.next().message_id, answer)
    assert (answered.status_code, answered.json()) == (403, {"problem": "wrong"})


def test_the_zip_code_may_have_its_last_four_digits(portal: Portal) -> None:
    assert portal.answer(portal.next().message_id, {**RIGHT, "second": " 68102-1234 "}).is_success


def test_wrong_answers_slow_down_then_lock_even_the_right_one_out(portal: Portal) -> None:
    one = portal.next()
    assert portal.answer(one.message_id, WRONG).status_code == 403
    early = portal.answer(one.message_id, RIGHT)
    assert early.status_code == 429
    assert 1 <= int(early.headers["retry-after"]) <= 2
    for answered in range(2, 5):
        portal.without_waiting(one.message_id)
        assert portal.answer(one.message_id, WRONG).status_code == 403, answered
    waits = portal.answer(one.message_id, RIGHT)
    assert 290 < int(waits.headers["retry-after"]) <= 300
    portal.without_waiting(one.message_id)
    assert portal.answer(one.message_id, WRONG).json()["problem"] == "locked"
    portal.without_waiting(one.message_id)
    assert portal.answer(one.message_id, RIGHT).json()["problem"] == "locked"


def test_a_right_answer_takes_back_what_was_held_against_the_letter(portal: Portal) -> None:
    one = portal.next()
    for _ in range(3):
        portal.without_waiting(one.message_id)
        portal.answer(one.message_id, WRONG)
    portal.without_waiting(one.message_id)
    portal.open(one)
    [row] = portal.rows("SELECT * FROM portal_guess WHERE message_id = :m", m=one.message_id)
    assert row["wrong"] == 0
    portal.open(one)


def test_a_session_takes_the_letter_once(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(lambda _: portal.fetch(one, session).status_code, range(8)))
    assert codes == [200, *[410] * 7]


def test_a_session_is_of_one_letter_and_ends(portal: Portal) -> None:
    """SEC-13."""
    one, other = portal.next(), portal.next()
    session = portal.session(one)
    assert portal.fetch(other, session).status_code == 401
    portal.execute(
        "UPDATE portal_session SET expires_at = clock_timestamp() WHERE message_id = :m",
        m=one.message_id,
    )
    assert portal.fetch(one, session).status_code == 401
    for token in ("", "Bearer", "Bearer x", "Basic eDp5", f"Bearer {'x' * 150}"):
        assert portal.fetch(one, {"authorization": token}).status_code == 401


def test_an_altered_link_opens_nothing(portal: Portal) -> None:
    from dataclasses import replace

    one = portal.next()
    with pytest.raises(KeyringError):
        portal.open(replace(one, secret=bytes(32)))


def test_a_letter_whose_time_is_over_is_gone_and_no_answer_opens_it(portal: Portal) -> None:
    one = portal.next()
    portal.execute(
        "UPDATE portal_message SET expires_at = :at WHERE message_id = :m",
        at=NOW - timedelta(seconds=1), m=one.message_id,
    )  # fmt: skip
    assert portal.answer(one.message_id, RIGHT).status_code == 403
    with portal.run.store.begin() as connection:
        assert remove_expired(connection, NOW) >= 1
    [row] = portal.rows("SELECT * FROM portal_message WHERE message_id = :m", m=one.message_id)
    assert (bytes(row["sealed"]), row["verifier"]) == (b"", None)


def test_whoever_says_that_it_is_not_theirs_closes_the_letter_also_to_a_session(
    portal: Portal,
) -> None:
    one = portal.next()
    session = portal.session(one)
    with portal.client() as client:
        assert client.post(f"/api/letters/{one.message_id}/report").status_code == 202
    assert portal.fetch(one, session).status_code == 401
    assert portal.answer(one.message_id, RIGHT).json()["problem"] == "locked"


def test_a_letter_without_what_it_is_compared_with_opens_never(portal: Portal) -> None:
    one = portal.next()
    portal.execute("UPDATE portal_message SET verifier = NULL WHERE message_id = :m",
                   m=one.message_id)  # fmt: skip
    assert portal.answer(one.message_id, RIGHT).status_code == 403


def test_one_address_of_the_network_may_ask_sixty_times_in_ten_minutes(portal: Portal) -> None:
    with portal.client() as client:
        codes = [client.post(f"/api/letters/{unknown_id()}/report").status_code for _ in range(62)]
        assert codes == [*[202] * 60, 429, 429]
        assert client.post(f"/api/letters/{unknown_id()}/sessions", json=RIGHT).json() == {
            "problem": "busy", "seconds": 600,
        }  # fmt: skip
    with portal.client() as client:
        assert client.post(f"/api/letters/{unknown_id()}/report").status_code == 202
