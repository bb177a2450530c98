"""Pacing: no more letters than the relay's entry allows, over all workers, and each gets its share.

The buckets are real rows of a real PostgreSQL, and its clock is the one that counts; where a test
needs it elsewhere it moves what the row remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from daily import Practice
from hypothesis import given, settings
from hypothesis import strategies as st
from ready import CHUNK, LETTERS, Ready, run_of, taken
from reengage.delivery import Rate
from reengage.errors import StoreError
from reengage.pipeline import outbox, pacing
from reengage.pipeline.pacing import Bucket, Granted, share_out
from reengage.pipeline.run import Run
from reengage.pipeline.send import Sent, send, send_what_is_open
from reengage.vendors import Vendor
from simulators.smtp import HostileRelay
from sqlalchemy import Connection, create_engine, text

ONE_DOMAIN = ["a@example.org"] * 100


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], Callable[..., Run]]:
    """Makes the vendor's entry say how fast; the registry is read anew for each batch."""

    def of(run: Run) -> Callable[..., Run]:
        vendor = run.vendor

        def at(**rate: float) -> Run:
            limited = vendor.model_copy(update={"rate": Rate.model_validate(rate)})
            monkeypatch.setattr(Run, "vendor", property(lambda _: limited))
            return run

        return at

    return of


@pytest.fixture
def paced(
    ready_practice: Practice, ready: Ready, rated: Callable[[Run], Callable[..., Run]]
) -> Callable[..., Run]:
    return rated(run_of(ready_practice, ready.live))


def take(run: Run, recipients: list[str]) -> Granted:
    with run.store.begin() as connection:
        return pacing.take(connection, run, recipients)


def emptied(run: Run, seconds_ago: float = 0) -> None:
    """All buckets are empty since then."""
    with run.store.begin() as connection:
        connection.execute(
            text(
                "UPDATE pace SET tokens = 0,"
                " refilled_at = clock_timestamp() - make_interval(secs => :s)"
            ),
            {"s": seconds_ago},
        )


def tokens(run: Run) -> list[float]:
    with run.store.connect() as connection:
        return list(connection.execute(text("SELECT tokens FROM pace ORDER BY scope")).scalars())


# --- the relay's bucket ---


def test_without_limits_all_may_go_and_the_store_is_not_asked(paced: Callable[..., Run]) -> None:
    run = paced()
    assert take(run, ONE_DOMAIN) == Granted(tuple(range(100)))
    assert tokens(run) == []


def test_a_full_bucket_is_drawn_by_quarters_and_no_further_than_to_its_bottom(
    paced: Callable[..., Run],
) -> None:
    run = paced(per_second=0.001, burst=40)
    assert [len(take(run, ONE_DOMAIN).letters) for _ in range(5)] == [10, 10, 10, 10, 0]
    assert 0 <= tokens(run)[0] < 1


def test_who_gets_none_is_told_how_long_a_share_takes(paced: Callable[..., Run]) -> None:
    run = paced(per_second=0.2, burst=40)
    take(run, ONE_DOMAIN)
    emptied(run)
    found = take(run, ONE_DOMAIN)
    assert found.letters == ()
    assert found.wait_seconds == pytest.approx(50, abs=5)  # a quarter of 40, at one in 5 s
    assert take(run, ONE_DOMAIN[:1]).wait_seconds == pytest.approx(5, abs=4)


def test_a_bucket_fills_with_time_and_never_above_its_brim(paced: Callable[..., Run]) -> None:
    run = paced(per_second=0.2, burst=40)
    take(run, ONE_DOMAIN)
    emptied(run, seconds_ago=42)
    assert len(take(run, ONE_DOMAIN).letters) == 8
    emptied(run, seconds_ago=3600)
    assert [len(take(run, ONE_DOMAIN).letters) for _ in range(5)] == [10, 10, 10, 10, 0]


def test_a_clock_that_was_set_back_gives_nothing_and_stops_nothing(
    paced: Callable[..., Run],
) -> None:
    run = paced(per_second=2, burst=40)
    take(run, ONE_DOMAIN)
    emptied(run, seconds_ago=-3600)
    assert take(run, ONE_DOMAIN).letters == ()
    with run.store.connect() as connection:
        ahead = text("SELECT max(refilled_at) > clock_timestamp() FROM pace")
        assert connection.execute(ahead).scalar_one() is False


def test_many_workers_together_keep_to_the_rate_and_none_goes_without(
    paced: Callable[..., Run],
) -> None:
    run = paced(per_second=400, burst=40)
    began = monotonic()

    def work(_: int) -> int:
        had = 0
        while monotonic() - began < 1.5:
            found = take(run, ONE_DOMAIN)
            had += len(found.letters)
            sleep(min(found.wait_seconds, 0.2))  # as a worker does
        return had

    with ThreadPoolExecutor(4) as workers:
        had = list(workers.map(work, range(4)))
    lasted = monotonic() - began
    assert 40 < sum(had) <= 40 + 400 * lasted
    assert min(had) > sum(had) / 4 / 4


# --- domains ---


def test_a_domain_that_had_its_share_lets_the_others_go_on(paced: Callable[..., Run]) -> None:
    run = paced(per_domain_per_minute=12)  # ten seconds' worth: two
    mixed = ["a@one.test", "b@ONE.test.", "c@one.test", "d@two.test", "e@one.test"]
    found = take(run, mixed)
    assert found.letters == (0, 1, 3)
    assert {place: round(seconds) for place, seconds in found.held.items()} == {2: 5, 4: 10}
    assert found.wait_seconds == pytest.approx(5, abs=0.5)


def test_a_domain_is_known_to_the_store_by_a_keyed_pseudonym_only(
    paced: Callable[..., Run],
) -> None:
    """SEC-10: a small clinic's own domain tells whom it treats."""
    run = paced(per_second=5, per_domain_per_minute=12)
    take(run, ["p@canary-domain.test"])
    with run.store.connect() as connection:
        scopes = list(connection.execute(text("SELECT scope FROM pace ORDER BY scope")).scalars())
    assert scopes == [
        "embedded",
        f"embedded/{run.keyring.pseudonym('domain', 'canary-domain.test')}",
    ]


@settings(max_examples=200)
@given(
    relay=st.none() | st.floats(0, 30),
    levels=st.dictionaries(st.sampled_from("abc"), st.floats(0, 10), min_size=3, max_size=3),
    domains=st.lists(st.sampled_from("abc"), max_size=40),
)
def test_no_bucket_is_ever_drawn_below_nothing(
    relay: float | None, levels: dict[str, float], domains: list[str]
) -> None:
    bucket = None if relay is None else Bucket(relay, 30, 1)
    found = share_out(bucket, [Bucket(levels[one], 10, 1) for one in domains], domains)
    assert list(found.letters) == sorted(set(found.letters))
    assert not set(found.letters) & set(found.held)
    assert relay is None or len(found.letters) <= relay
    for one, level in levels.items():
        assert sum(domains[place] == one for place in found.letters) <= level
    assert found.letters or not domains or found.wait_seconds > 0


# --- at work ---


def test_a_sender_waits_for_tokens_and_sends_everything_once(
    paced: Callable[..., Run], relay: HostileRelay
) -> None:
    run = paced(per_second=20, burst=1)
    began = monotonic()
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert monotonic() - began > (LETTERS - 1) / 20 * 0.9
    assert len(set(taken(relay))) == LETTERS


def test_a_long_wait_is_an_instant_to_come_back_at_and_holds_no_worker(
    paced: Callable[..., Run], relay: HostileRelay
) -> None:
    run = paced(per_second=0.01, burst=2)
    began = monotonic()
    found = send_what_is_open(run, CHUNK)
    assert monotonic() - began < 10
    assert found.letters == {"composed": LETTERS - 2, "sent": 2}
    assert found.again_at is not None
    with run.store.connect() as connection:
        left = (found.again_at - outbox.clock(connection)).total_seconds()
    assert 60 < left <= 100


def test_letters_of_a_held_domain_are_passed_over_and_fetched_at_their_turn(
    paced: Callable[..., Run], relay: HostileRelay
) -> None:
    """All five live in one domain, which takes five a second."""
    run = paced(per_domain_per_minute=300)
    assert send_what_is_open(run, CHUNK) == Sent({"sent": LETTERS}, None)
    assert len(set(taken(relay))) == LETTERS


# --- connections ---


def test_no_more_workers_than_connections_and_a_killed_ones_is_free(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    vendor = run.vendor.model_copy(update={"rate": Rate(connections=2)})
    engines = [create_engine(run.settings.store_url) for _ in range(3)]
    sessions = [engine.connect() for engine in engines]
    try:
        assert [pacing.take_slot(one, vendor) for one in sessions] == [1, 2, None]
        sessions[0].connection.driver_connection.close()  # what a kill leaves
        _until_free(lambda: pacing.take_slot(sessions[2], vendor))
    finally:
        for session, engine in zip(sessions, engines, strict=True):
            session.invalidate()
            session.close()
            engine.dispose()


def test_a_connection_has_so_many_letters_and_no_more(
    paced: Callable[..., Run], relay: HostileRelay
) -> None:
    assert send(paced(letters_per_connection=2), CHUNK) == {"sent": LETTERS}
    assert relay.connections == 3
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_a_chunk_for_which_no_connection_is_left_comes_back_for_one(
    paced: Callable[..., Run], relay: HostileRelay
) -> None:
    run = paced(connections=1)
    with run.store.connect() as other:
        assert pacing.take_slot(other, run.vendor) == 1
        found = send_what_is_open(run, CHUNK)
        assert found.letters == {"composed": LETTERS}
        assert found.again_at is not None
        pacing.give_slot(other, run.vendor, 1)
    assert relay.connections == 0
    for _ in range(2):  # each try gives its slot back
        assert send(run, CHUNK) == {"sent": LETTERS}


def test_without_a_limit_every_worker_has_a_connection(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        assert pacing.take_slot(connection, run.vendor) == 0
        pacing.give_slot(connection, run.vendor, 0)


def _until_free(take_one: Callable[[], int | None]) -> None:
    until = monotonic() + 10
    while take_one() is None:
        assert monotonic() < until
        sleep(0.01)


def test_a_session_that_ends_at_the_goodbye_is_told_and_the_next_try_goes_on(
    paced: Callable[..., Run], relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = paced(connections=1)
    really = pacing.give_slot

    def cut(connection: Connection, vendor: Vendor, slot: int) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with run.store.begin() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        really(connection, vendor, slot)

    monkeypatch.setattr(pacing, "give_slot", cut)
    with pytest.raises(StoreError, match="session in the store ended"):
        send(run, CHUNK)
    monkeypatch.setattr(pacing, "give_slot", really)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert len(relay.letters) == LETTERS
