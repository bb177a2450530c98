"""SIGKILL of a task at every moment, then its retry: no letter twice, none lost, none guessed.

The process that is killed is one of its own, as with Airflow; what it stood at when it died is
settled by the relay it talks to or by the store, not by time.
"""

from __future__ import annotations

import json
import mailbox
from collections.abc import Callable
from pathlib import Path

import pytest
from daily import Practice
from databases import Makes
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, taken
from reengage.embedded.processes import wait_until
from reengage.embedded.relay import RelayProcess
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from rooms import RoomProcess, Rooms, begin, halted
from simulators.smtp import HostileRelay

pytestmark = pytest.mark.long


def by_state(practice: Practice, run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in practice.rows(
        "SELECT state, message_id FROM letter WHERE sender_run_id = :r", r=run.run_id
    ):
        found.setdefault(str(row["state"]), set()).add(str(row["message_id"]))
    return found


def assert_once(practice: Practice, run: Run, arrived: list[str], *, unknown: int) -> None:
    """What must hold after a kill and a retry, whatever was killed when."""
    states = by_state(practice, run)
    sent, doubtful = states.get("sent", set()), states.get("unknown", set())
    assert len(arrived) == len(set(arrived)), "a letter arrived twice"
    assert sent <= set(arrived), "a letter that was called sent did not arrive"
    assert set(arrived) <= sent | doubtful, "a letter arrived that nobody owns up to"
    assert settle(run) == {state: len(letters) for state, letters in sorted(states.items())}
    assert (len(sent), len(doubtful)) == (LETTERS - unknown, unknown)
    assert_recorded(practice, run)


def assert_recorded(practice: Practice, run: Run) -> None:
    """No letter's state without its record, and nothing attempted without an intent (LOG-12)."""
    told: dict[str, str] = {}
    intended: set[str] = set()
    for row in practice.rows(
        "SELECT kind, convert_from(entry, 'UTF8') AS entry FROM ledger_entry"
        " WHERE kind IN ('intent', 'disclosure') ORDER BY index"
    ):
        body = json.loads(str(row["entry"]))["body"]
        if row["kind"] == "intent":
            intended |= set(body["letters"])
        else:
            told[body["letter"]] = body["outcome"]
    letters = practice.rows("SELECT * FROM letter WHERE sender_run_id = :r", r=run.run_id)
    final = {str(row["letter_id"]): row["state"] for row in letters}
    assert told == final
    assert set(final) <= intended


def kill_at(relay: HostileRelay, stage: str, nth: int, process: RoomProcess) -> None:
    reached = 0

    def kill() -> None:
        nonlocal reached
        reached += 1
        if reached == nth:
            process.kill()

    relay.at(stage, kill)


def assert_killed(process: RoomProcess, practice: Practice) -> None:
    """It was, and its sessions are gone, too: a retry of Airflow's comes later, ours at once."""
    assert process.join() == -9
    leases = (
        "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE datname = current_database() AND locktype = 'advisory'"
    )
    wait_until(lambda: not practice.rows(leases), seconds=60, what="the end of its sessions")


_BEFORE_ANY = [(stage, 1, 0) for stage in ("connect", "ehlo", "starttls", "ehlo_tls")]
_OF_A_LETTER = [
    (stage, nth, unknown)
    for nth in (1, 3, LETTERS)
    for stage, unknown in [
        ("mail", 0), ("rcpt", 0), ("data", 0), ("body", 1), ("dot", 1), ("reply", 1),
    ]
]  # fmt: skip
_AFTERWARDS = [("quit", 1, 0)]


@pytest.mark.parametrize(("stage", "nth", "unknown"), _BEFORE_ANY + _OF_A_LETTER + _AFTERWARDS)
def test_killed_while_it_talks_to_the_relay_and_tried_again_it_sends_nothing_twice(
    stage: str, nth: int, unknown: int, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    process = Rooms(ready_practice.settings).prepare("send", run, CHUNK)
    kill_at(relay, stage, nth, process)
    begin(process)
    assert_killed(process, ready_practice)
    send(run, CHUNK)
    assert_once(ready_practice, run, taken(relay), unknown=unknown)


# What was killed                              letters then `unknown`
MOMENTS = [
    ("claimed", "statement", 1, 0),  # .       the claim is not committed
    ("claimed", "commit", 1, 0),  # .          it is, and nothing was attempted
    # A mark is a statement of its own: the server ends it although nobody waits for it any more.
    ("attempted", "statement", 1, 1),  # .     the mark is there, and nothing was offered
    ("attempted", "commit", LETTERS, 1),
    ("answered", "statement", 1, 0),  # .      the relay has it, and so its word is kept
    ("answered", "commit", LETTERS, 0),
    ("settled", "statement", 1, 0),  # .       answered, and not settled: the retry does
    ("settled", "statement", LETTERS, 0),
    ("settled", "commit", 1, 0),  # .          settled, and the process did not hear of it
    ("settled", "commit", LETTERS, 0),
]


def kill_when(practice: Practice, room: str, run: Run, reached: str, moment: str, nth: int) -> None:
    with halted(practice.settings.store_url, reached, moment, nth) as halt:
        process = Rooms(practice.settings).start(room, run, CHUNK)
        halt.wait_until_reached()
        process.kill()
        halt.lift()


@pytest.mark.parametrize(("reached", "moment", "nth", "unknown"), MOMENTS)
def test_killed_while_it_talks_to_the_store_and_tried_again_it_sends_nothing_twice(
    reached: str,
    moment: str,
    nth: int,
    unknown: int,
    ready_practice: Practice,
    ready: Ready,
    relay: HostileRelay,
) -> None:
    run = run_of(ready_practice, ready.live)
    kill_when(ready_practice, "send", run, reached, moment, nth)
    send(run, CHUNK)
    assert_once(ready_practice, run, taken(relay), unknown=unknown)


@pytest.mark.parametrize(("reached", "moment", "nth", "unknown"), MOMENTS[1::2])
def test_the_embedded_relays_maildir_holds_no_letter_twice_after_a_kill(
    reached: str,
    moment: str,
    nth: int,
    unknown: int,
    ready: Ready,
    database: Makes,
    tmp_path: Path,
    relay_process: RelayProcess,
) -> None:
    before = set(_in(relay_process._maildir))
    practice = ready.copy(database("ready_store"), relay_process.url, relay_process.ca, tmp_path)
    run = run_of(practice, ready.live)
    kill_when(practice, "send", run, reached, moment, nth)
    send(run, CHUNK)
    arrived = [
        _in(relay_process._maildir)[key] for key in set(_in(relay_process._maildir)) - before
    ]
    assert_once(practice, run, arrived, unknown=unknown)


def test_killed_again_and_again_there_is_one_unknown_a_kill_at_most(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    for stage in ("dot", "data", "reply", "rcpt"):
        process = Rooms(ready_practice.settings).prepare("send", run, CHUNK)
        kill_at(relay, stage, 1, process)
        begin(process)
        assert_killed(process, ready_practice)
        relay.at(stage, lambda: None)
    send(run, CHUNK)
    assert_once(ready_practice, run, taken(relay), unknown=2)


@pytest.mark.parametrize("stage", ["rcpt", "dot", "reply"])
def test_asked_to_stop_it_finishes_the_letter_under_way_and_gives_back_the_rest(
    stage: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    """SIGTERM: nothing is in doubt, and whoever handled the signal before gets it afterwards."""
    run = run_of(ready_practice, ready.live)
    process = Rooms(ready_practice.settings).prepare("send", run, CHUNK)
    asked: list[int] = []

    def ask_at_the_second() -> None:
        asked.append(1)
        if len(asked) == 2:
            process.ask_to_stop()

    relay.at(stage, ask_at_the_second)
    begin(process)
    assert process.join() == -15
    states = by_state(ready_practice, run)
    assert {state: len(ids) for state, ids in states.items()} == {"sent": 2, "composed": 3}
    assert set(taken(relay)) == states["sent"]
    relay.at(stage, lambda: None)
    send(run, CHUNK)
    assert_once(ready_practice, run, taken(relay), unknown=0)


def test_a_new_run_takes_over_what_a_killed_one_left(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    killed_run = run_of(ready_practice, ready.live)
    process = Rooms(ready_practice.settings).prepare("send", killed_run, CHUNK)
    kill_at(relay, "dot", 2, process)
    begin(process)
    assert_killed(process, ready_practice)
    relay.at("dot", lambda: None)
    # Nobody clears the killed task; its DAG run failed, and the next one comes along.
    run = ready_practice.play(CAMPAIGN)
    assert {state: len(ids) for state, ids in by_state(ready_practice, run).items()} == {
        "sent": LETTERS - 1,  # the first was answered, and nobody had settled it
        "unknown": 1,
    }
    assert len(taken(relay)) == len(set(taken(relay))) == LETTERS
    assert settle(killed_run) == {}


@pytest.mark.parametrize("moment", ["statement", "commit"])
def test_a_rehearsal_that_was_killed_leaves_no_letter_twice(
    moment: str, ready_practice: Practice, ready: Ready, relay: HostileRelay, tmp_path: Path
) -> None:
    run = run_of(ready_practice, ready.dry)
    kill_when(ready_practice, "send", run, "settled", moment, 3)
    assert len(_in(tmp_path / "rehearsal")) == LETTERS
    send(run, CHUNK)
    assert len(_in(tmp_path / "rehearsal")) == LETTERS
    assert settle(run) == {"rehearsed": LETTERS}
    assert relay.connections == 0


@pytest.mark.parametrize("moment", ["statement", "commit"])
@pytest.mark.parametrize(
    ("room", "reached"), [("letter", "composed"), ("check_letters", "checked")]
)
def test_killed_while_it_composes_or_checks_there_is_one_letter_each_after_a_retry(
    room: str, reached: str, moment: str, ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.planned)
    steps: list[Callable[[Run, Chunk], int]] = [write_letters, check_letters]
    if room == "check_letters":
        write_letters(run, CHUNK)
    kill_when(ready_practice, room, run, reached, moment, 3)
    for step in steps:
        step(run, CHUNK)
    found = ready_practice.rows(
        "SELECT count(*) AS n, count(DISTINCT patient) AS patients, count(checked_at) AS checked"
        " FROM letter WHERE run_id = :r",
        r=run.run_id,
    )
    assert found == [{"n": LETTERS, "patients": LETTERS, "checked": LETTERS}]


def _in(maildir: Path) -> dict[str, str]:
    """Message-IDs by file."""
    box = mailbox.Maildir(maildir, create=True)
    return {key: str(box[key]["Message-ID"]) for key in box.keys()}  # noqa: SIM118 - a Maildir
