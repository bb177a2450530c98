"""Keys while letters are under way: a key service that fails stops them and loses none, and keys
rotate, are resealed and destroyed beside tasks, none of which fails.

Shows SEC-25 (keys apart from the data) and SEC-14 (sealed at rest, whichever key it rests on).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.errors import KeyringError
from reengage.keys import open_keyring, rotation
from reengage.keys.files import locked
from reengage.keys.remote import remote_service
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from simulators.smtp import HostileRelay
from simulators.vault import TOKEN, FakeVault, serving


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    remote_service.cache_clear()
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with serving(FakeVault()) as running:
        yield running
    remote_service.cache_clear()


@pytest.fixture
def guarded(
    ready_practice: Practice, vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> Practice:
    """The practice that is ready to send, its keys brought under Vault."""
    directory = ready_practice.settings.keyring
    rotation.reseal(rotation.under(open_keyring(directory), vault.address))
    monkeypatch.setenv("REENGAGE_KEY_SERVICE", vault.address)
    remote_service.cache_clear()
    return ready_practice


FAILS: dict[str, Callable[[FakeVault], object]] = {
    "is sealed or not in service": lambda vault: setattr(vault, "fault", (503, b"{}")),
    "refuses the token": lambda vault: vault.tokens.clear(),
    "answers what no Transit engine says": lambda vault: setattr(vault, "fault", (200, b"{}")),
}


@pytest.mark.parametrize("told", FAILS)
def test_a_key_service_that_fails_stops_the_letters_and_loses_none(
    told: str, guarded: Practice, vault: FakeVault, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(guarded, ready.live)
    _ = run.keyring  # it fails under a task that is at work already, too
    FAILS[told](vault)
    for task in (run, run_of(guarded, ready.live)):
        with pytest.raises(KeyringError, match=f"{told}.*nothing was sent, nothing is lost"):
            send(task, CHUNK)
    assert relay.letters == []
    assert states(guarded, run) == [("composed", None)] * LETTERS
    vault.fault = None
    vault.tokens.add(TOKEN)
    assert send(run_of(guarded, ready.live), CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_the_key_service_is_asked_a_few_times_for_a_whole_task(
    guarded: Practice, vault: FakeVault, ready: Ready, relay: HostileRelay
) -> None:
    vault.asked.clear()
    assert send(run_of(guarded, ready.live), CHUNK) == {"sent": LETTERS}
    assert len(vault.asked) <= len({"pseudonym", "the run", "dkim", "portal", "the month"})


def test_letters_flow_while_keys_rotate_and_are_resealed_and_destroyed(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    keyring, failed, over = open_keyring(ready_practice.settings.keyring), [], threading.Event()
    begun = threading.Event()

    def turns_the_keys() -> None:
        number = 1
        try:
            while not over.is_set() or number < 4:
                for purpose in ("wrap", "portal"):
                    rotation.rotate(keyring, purpose, lambda info: None)
                rotation.reseal(keyring)
                with locked(keyring.directory, alone=True):
                    assert number not in rotation.resting_on_wrap(keyring)
                    rotation.destroy(keyring, "wrap", number)
                number += 1
                begun.set()
        except BaseException as error:
            failed.append(error)
            begun.set()

    thread = threading.Thread(target=turns_the_keys)
    thread.start()
    assert begun.wait(60)
    try:
        run = run_of(ready_practice, ready.live)
        assert send(run, CHUNK) == {"sent": LETTERS}
        settle(run)
        shred(run)
        dry = run_of(ready_practice, ready.dry)
        assert send(dry, CHUNK) == {"rehearsed": LETTERS}
    finally:
        over.set()
        thread.join(60)
    assert failed == []
    assert len(set(taken(relay))) == LETTERS
    assert not keyring.has_data_key(ready.live)
    assert keyring.has_data_key(ready.dry)
