"""The breaker: a run that meets too much of no pauses itself, and goes on when somebody says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from daily import Practice
from pipeline.test_trail import task_of
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.delivery import Breaker
from reengage.grounds import NO_REASON
from reengage.ledger.entry import parse
from reengage.pipeline import breaker, trail
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.run import Run
from reengage.pipeline.send import send, send_what_is_open
from reengage.pipeline.settle import settle
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW

WHY = "the relay lists bounces of last year"
NO = "550 5.1.1 <canary@example.org> unknown"
SECOND_CHUNK = Chunk(number=1, first=1, last=1)


@pytest.fixture
def run(ready_practice: Practice, ready: Ready) -> Run:
    """A run whose campaign looks at five letters."""
    return watching(run_of(ready_practice, ready.live))


def watching(run: Run, **limits: float) -> Run:
    looks = Breaker.model_validate({"of": 5, **limits})
    return replace(run, campaign=run.campaign.model_copy(update={"breaker": looks}))


def noted(run: Run, *outcomes: tuple[str, str | None], chunk: int = 0) -> bool:
    with run.store.begin() as connection:
        return breaker.note(connection, run, chunk, outcomes)


def paused(run: Run) -> breaker.Pause | None:
    with run.store.connect() as connection:
        return breaker.pause_of(connection, run)


def decisions(run: Run) -> list[dict[str, object]]:
    """Access records of answers."""
    with run.store.connect() as connection:
        found = connection.execute(
            text("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
        ).scalars()
        return [dict(parse(bytes(entry)).body) for entry in found]


def spread(practice: Practice) -> None:
    """Two of the letters are the second chunk's."""
    practice.spoil(
        "UPDATE letter SET chunk = 1 WHERE letter_id IN (SELECT letter_id FROM letter"
        " WHERE rehearsal IS NULL ORDER BY letter_id DESC LIMIT 2)"
    )


SENT, REFUSED, LOST = ("sent", None), ("refused", "rcpt 550 5.1.1"), ("deferred", "mail 421")


# --- what is too much ---


@pytest.mark.parametrize(
    ("last", "limits", "tripped"),
    [
        ([SENT] * 3 + [REFUSED] * 2, {"refused": 0.4}, True),
        ([SENT] * 3 + [REFUSED] * 2, {"refused": 0.41}, False),
        ([SENT] * 2 + [LOST] * 3, {"errors": 0.6}, True),
        ([SENT] * 2 + [LOST] * 3, {"errors": 0.61}, False),
        ([REFUSED] * 4, {"refused": 0.1}, False),  # too few to say
        ([REFUSED] * 5 + [SENT] * 5, {}, False),  # long ago
        ([SENT, ("unknown", "connection_lost_at_dot")] * 3, {"errors": 0.5}, True),
    ],
)
def test_of_its_last_letters_a_share_is_too_much(
    last: list[breaker.Answered], limits: dict[str, float], tripped: bool, run: Run
) -> None:
    looking = watching(run, **limits)
    assert noted(looking, *last) is tripped
    assert (paused(run) is not None) is tripped
    alone = breaker.Watch(looking.campaign.breaker)
    assert [alone.saw(*one) for one in last][-1] is tripped


def test_letters_of_all_chunks_count_together(run: Run) -> None:
    assert [noted(run, REFUSED, chunk=number) for number in range(5)] == [False] * 4 + [True]
    found = paused(run)
    assert found is not None
    assert found.chunk == 4  # which asks
    assert (found.seen.letters, found.seen.refused, found.seen.errors) == (5, 5, 0)


@pytest.mark.parametrize(("asking", "asks"), [(0, 0), (1, 0), (4, 0)])
def test_a_question_whose_chunk_is_gone_is_asked_by_the_first(
    asking: int, asks: int, run: Run
) -> None:
    """A run that is cleared as a whole may be cut into fewer chunks: here one."""
    assert noted(run, *[REFUSED] * 5, chunk=asking)
    with run.store.begin() as connection:
        connection.execute(text("UPDATE run SET gate = 'green'"))
    assert [chunk["number"] for chunk in plan(run)] == [0]
    found = paused(run)
    assert found is not None
    assert found.chunk == asks
    question = breaker.question_of(run)
    assert question is not None
    assert question.chunk == asks


def test_a_campaign_without_a_breaker_counts_nothing(run: Run) -> None:
    careless = replace(run, campaign=run.campaign.model_copy(update={"breaker": None}))
    assert not noted(careless, *[REFUSED] * 50)
    assert paused(run) is None
    assert not any(breaker.Watch(None).saw(*REFUSED) for _ in range(50))


def test_the_question_tells_counts_and_codes_and_nobody(run: Run) -> None:
    noted(run, SENT, REFUSED, REFUSED, LOST, REFUSED)
    question = breaker.question_of(run)
    assert question is not None
    assert (
        question.subject
        == f"{run.campaign.title}, 2025-06-02: the run paused itself. Go on sending?"
    )
    assert "Of its last 5 letters, 3 were refused and 1 were put off or lost" in question.body
    assert "| rcpt 550 5.1.1 | 3 |\n| mail 421 | 1 |" in question.body
    # Until the day is over in Chicago, where it is noon now.
    assert question.patience == timedelta(hours=12)


# --- at work ---


def test_a_run_that_meets_refusals_stops_in_the_middle_of_a_batch(
    practice: Practice, hostile: HostileRelay
) -> None:
    for number in range(12):
        practice.world.patient(f"p{number}")
    run = watching(practice.open(CAMPAIGN))
    [chunk] = practice.hurry(run)
    hostile.script = {"rcpt": NO}
    assert send_what_is_open(run, chunk).letters == {"composed": 7, "refused": 5}
    breaker.answer(run, 1, "approved", "olga", WHY)
    hostile.script = {}
    assert send(run, chunk) == {"refused": 5, "sent": 7}


def test_every_chunk_of_a_paused_run_stops_before_it_calls_the_relay(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    spread(ready_practice)
    relay.script = {"rcpt": NO}
    assert send(run, CHUNK) == {"refused": 3}
    noted(run, *[REFUSED] * 2, chunk=7)
    connections = relay.connections
    assert send_what_is_open(run, SECOND_CHUNK).letters == {"composed": 2}
    assert relay.connections == connections


def test_approved_it_goes_on_from_where_it_was_and_sends_each_letter_once(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    noted(run, *[REFUSED] * 5)
    assert send(run, CHUNK) == {"composed": LETTERS}
    assert relay.connections == 0
    breaker.answer(run, 1, "approved", "olga", WHY)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == LETTERS
    assert settle(run) == {"sent": LETTERS}
    [record] = decisions(run)
    assert (record["actor"], record["action"], record["of"]) == (
        "olga", "approved", f"breaker/{CAMPAIGN}",
    )  # fmt: skip
    assert record["detail"] == {
        "run": str(run.run_id), "pause": 1, "letters": 5, "refused": 5, "errors": 0,
        "reasons": {"rcpt 550 5.1.1": 5}, "reason": WHY,
    }  # fmt: skip


def test_rejected_its_letters_wait_for_the_next_run_and_say_why(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    noted(run, *[REFUSED] * 5)
    breaker.answer(run, 1, "rejected", "olga", WHY)
    assert set(states(ready_practice, run)) == {("deferred", breaker.REJECTED)}
    assert send_what_is_open(run, CHUNK) == send_what_is_open(run, CHUNK)
    assert send_what_is_open(run, CHUNK).again_at is None
    assert settle(run) == {"deferred": LETTERS}
    later = ready_practice.at(NOW + timedelta(hours=1))
    following = later.open(CAMPAIGN)
    [chunk] = later.compose(following)
    assert send(following, chunk) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_a_chunk_at_work_when_the_answer_comes_leaves_what_it_holds(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    """Its claimed letters are given back as composed, after the rejection was recorded."""
    noted(run, *[REFUSED] * 5)
    breaker.answer(run, 1, "rejected", "olga", WHY)
    ready_practice.spoil("UPDATE letter SET state = 'composed' WHERE rehearsal IS NULL")
    assert send(run, CHUNK) == {"deferred": LETTERS}
    assert relay.connections == 0


def test_after_an_approval_counting_begins_anew_and_it_may_pause_again(run: Run) -> None:
    noted(run, *[REFUSED] * 5)
    breaker.answer(run, 1, "approved", "olga", WHY)
    assert [noted(run, REFUSED) for _ in range(5)] == [False] * 4 + [True]
    found = paused(run)
    assert found is not None
    assert found.number == 2


def test_only_the_first_answer_counts_and_one_question_is_open(run: Run) -> None:
    noted(run, *[REFUSED] * 5)
    assert noted(run, *[REFUSED] * 5, chunk=7)
    breaker.answer(run, 1, "rejected", "olga", WHY)
    breaker.answer(run, 1, "approved", "mallory", WHY)
    breaker.answer(run, 9, "approved", "mallory", WHY)
    found = paused(run)
    assert found is not None
    assert (found.number, found.chunk, found.rejected) == (1, 0, True)
    assert [record["actor"] for record in decisions(run)] == ["olga"]


def test_nobodys_answer_by_the_end_of_the_day_is_a_no(ready_practice: Practice, run: Run) -> None:
    noted(run, *[REFUSED] * 5)
    midnight = run_of(ready_practice.at(NOW + timedelta(hours=12)), run.run_id)
    assert breaker.question_of(run) is not None
    assert breaker.question_of(midnight) is None
    assert set(states(ready_practice, run)) == {("deferred", breaker.REJECTED)}
    [record] = decisions(run)
    assert (record["actor"], record["detail"]["reason"]) == (breaker.NOBODY, NO_REASON)  # type: ignore[index]


def test_no_text_of_a_relay_is_kept_in_the_open(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    """SEC-10: a reply may quote the patient's address."""
    relay.script = {"rcpt": NO}
    spread(ready_practice)  # or nothing would be left, and nobody be asked
    noted(run, *[("refused", "rcpt 550 5.1.1")] * 2)
    send(run, CHUNK)
    question = breaker.question_of(run)
    assert question is not None
    kept = ready_practice.rows(
        "SELECT w.recent, p.reasons FROM watch w JOIN pause p USING (run_id)"
    )
    assert "canary" not in f"{kept} {question}"


def test_a_run_with_nothing_left_to_send_asks_nobody(run: Run, relay: HostileRelay) -> None:
    relay.script = {"rcpt": NO}
    assert send_what_is_open(run, CHUNK).paused is False
    assert breaker.question_of(run) is None


def test_a_chunk_that_comes_after_the_runs_day_ends_although_nobody_answered(
    ready_practice: Practice, run: Run, relay: HostileRelay
) -> None:
    noted(run, *[("refused", "rcpt 550 5.1.1")] * 5, chunk=7)  # which asks, and is not heard of
    tomorrow = ready_practice.at(NOW + timedelta(hours=12, seconds=5))
    begun = trail.start(tomorrow.settings, CAMPAIGN, task_of("send", run.run_id, 0))
    late = replace(run_of(tomorrow, run.run_id), trail=begun)
    found = send_what_is_open(late, CHUNK)
    assert (found.paused, found.again_at, begun.ended) == (False, None, True)
    assert breaker.question_of(late) is None
    assert relay.connections == 0
