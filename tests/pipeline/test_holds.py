"""Holds: a paused campaign claims no letter from that moment on, and loses none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.errors import ConfigurationError
from reengage.ledger.entry import parse
from reengage.pipeline import holds, outbox
from reengage.pipeline import send as sending
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from simulators.smtp import HostileRelay


@pytest.fixture
def run(ready_practice: Practice, ready: Ready) -> Run:
    return run_of(ready_practice, ready.live)


def decide(run: Run, *, pause: bool, campaign: str = CAMPAIGN) -> None:
    with run.store.begin() as connection:
        holds.decide(
            connection, run.keyring, campaign, pause=pause, by="olga", reason="wrong price"
        )


def test_of_a_paused_campaign_nothing_is_sent_and_its_run_still_ends_in_order(
    run: Run, ready_practice: Practice, relay: HostileRelay
) -> None:
    decide(run, pause=True)
    assert send(run, CHUNK) == {"deferred": LETTERS}
    assert states(ready_practice, run) == [("deferred", "campaign_paused")] * LETTERS
    assert settle(run) == {"deferred": LETTERS}
    assert relay.letters == []


def test_resumed_its_letters_go_once(run: Run, relay: HostileRelay) -> None:
    decide(run, pause=True)
    send(run, CHUNK)
    decide(run, pause=False)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(taken(relay)) == LETTERS


def test_a_pause_holds_from_the_next_claim_on_in_a_run_under_way(
    run: Run, ready_practice: Practice, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    offer_all, offers = sending._Sender._offer_all, []

    def offering(sender: sending._Sender, claimed: Sequence[outbox.Queued]) -> None:
        offers.append(len(claimed))
        if len(offers) == 1:  # the first claim is committed
            decide(run, pause=True)
        offer_all(sender, claimed)

    monkeypatch.setattr(sending._Sender, "_offer_all", offering)
    assert send(run, CHUNK) == {"sent": 2, "deferred": LETTERS - 2}
    assert offers == [2]


def test_the_row_wins_inside_the_claim_too(
    run: Run, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused between the look before the claim and the claim itself."""
    look = sending.last_look

    def paused_meanwhile(*arguments: object) -> object:
        decide(run, pause=True)
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sending, "last_look", paused_meanwhile)
    assert send(run, CHUNK) == {"deferred": LETTERS}
    assert relay.letters == []


def test_another_campaign_goes_on(run: Run) -> None:
    decide(run, pause=True, campaign="health_education")
    assert send(run, CHUNK) == {"sent": LETTERS}


def test_who_decided_and_why_is_a_record_and_twice_is_told(
    run: Run, ready_practice: Practice
) -> None:
    decide(run, pause=True)
    with pytest.raises(ConfigurationError, match="is paused already"):
        decide(run, pause=True)
    decide(run, pause=False)
    with pytest.raises(ConfigurationError, match="is not paused already"):
        decide(run, pause=False)
    found = ready_practice.rows(
        "SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index"
    )
    bodies = [parse(bytes(row["entry"])).body for row in found]  # type: ignore[call-overload]
    assert [(one["actor"], one["action"], one["of"]) for one in bodies] == [
        ("olga", "paused", f"campaign/{CAMPAIGN}"), ("olga", "resumed", f"campaign/{CAMPAIGN}"),
    ]  # fmt: skip
    assert bodies[0]["detail"] == {"reason": "wrong price"}
    with run.store.connect() as connection:
        assert holds.latest(connection)[CAMPAIGN].paused is False
