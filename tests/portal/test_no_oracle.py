"""Before the factor nobody learns which letters there are: the same octets, words, time."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from time import perf_counter

import pytest
from patients import RIGHT, WRONG, Portal, Waiting, unknown_id
from world import NOW

VARIES = {"date"}


@pytest.fixture(scope="module")
def kinds(portal: Portal) -> dict[str, str]:
    """One id of each kind; a locked one and an unknown one that is as locked."""
    there, expired, locked = (portal.next() for _ in range(3))
    portal.execute(
        "UPDATE portal_message SET expires_at = :at WHERE message_id = :m",
        at=NOW - timedelta(seconds=1), m=expired.message_id,
    )  # fmt: skip
    never = unknown_id()
    for message_id in (locked.message_id, never):
        portal.lock(message_id)
    return {
        "there": there.message_id, "expired": expired.message_id, "unknown": unknown_id(),
        "locked": locked.message_id, "locked and unknown": never,
    }  # fmt: skip


def shown(portal: Portal, message_id: str, what: str) -> tuple[int, dict[str, str], bytes]:
    portal.without_waiting(message_id)
    with portal.client() as client:
        if what == "page":
            found = client.get(f"/m/{message_id}")
        elif what == "report":
            found = client.post(f"/api/letters/{message_id}/report")
        elif what == "malformed":
            found = client.post(f"/api/letters/{message_id}/sessions", content=b"{")
        elif what == "session":
            found = client.get(f"/api/letters/{message_id}/ciphertext",
                               headers={"authorization": "Bearer x"})  # fmt: skip
        else:
            found = client.post(f"/api/letters/{message_id}/sessions", json=WRONG)
    headers = {name: value for name, value in found.headers.items() if name not in VARIES}
    return found.status_code, headers, found.content


@pytest.mark.parametrize("what", ["page", "malformed", "session"])
def test_all_ids_are_shown_the_same(portal: Portal, kinds: dict[str, str], what: str) -> None:
    found = {kind: shown(portal, message_id, what) for kind, message_id in kinds.items()}
    assert len({repr(one) for one in found.values()}) == 1


def test_a_wrong_answer_is_told_the_same_whether_there_is_such_a_letter(
    portal: Portal, kinds: dict[str, str]
) -> None:
    for _ in range(4):
        told = [shown(portal, kinds[kind], "wrong") for kind in ("there", "expired", "unknown")]
        assert told[0] == told[1] == told[2]
        assert told[0][0] == 403
    told = [shown(portal, kinds[kind], "wrong") for kind in ("there", "expired", "unknown")]
    assert told[0] == told[1] == told[2]
    assert told[0][0] == 423
    told = [shown(portal, kinds[kind], "wrong") for kind in ("locked", "locked and unknown")]
    assert told[0] == told[1]
    assert told[0][0] == 423


def test_a_wrong_answer_takes_as_long_whether_there_is_such_a_letter(portal: Portal) -> None:
    """Both are hashed; the difference lies within what either varies by."""
    there: list[Waiting | str] = [portal.next() for _ in range(6)]
    took: dict[bool, list[float]] = {True: [], False: []}
    for letter in there:
        for known in (True, False):
            message_id = letter.message_id if known else unknown_id()  # type: ignore[union-attr]
            with portal.client() as client:
                client.get("/health")
                for _ in range(4):
                    portal.without_waiting(message_id)
                    began = perf_counter()
                    answered = client.post(f"/api/letters/{message_id}/sessions", json=WRONG)
                    took[known].append(perf_counter() - began)
                    assert answered.status_code == 403
    medians = {known: median(times) for known, times in took.items()}
    assert 0.5 < medians[True] / medians[False] < 2, medians  # one hash more or less is tenfold
    assert min(took[False]) > 0.015  # without the slow hash it would be a few milliseconds


def test_an_expired_letter_answers_the_right_answer_like_a_wrong_one(
    portal: Portal, kinds: dict[str, str]
) -> None:
    for kind in ("expired", "unknown"):
        portal.execute("DELETE FROM portal_guess WHERE message_id = :m", m=kinds[kind])
        assert portal.answer(kinds[kind], RIGHT).status_code == 403
