"""What goes wrong in the middle: nothing that still counts is lost, nothing that was shred is left.

A task without the setting beside a move, a shred at the moment of a reseal, a process that was
killed, a service that wraps what it does not open.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from reengage.errors import KeyringError
from reengage.keys import Keyring, ensure_keyring, open_keyring, rotation
from reengage.keys.info import KeyInfo
from reengage.keys.remote import remote_service
from simulators.vault import TOKEN, Answer, FakeVault, serving

RUN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    remote_service.cache_clear()
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with serving(FakeVault()) as running:
        yield running
    remote_service.cache_clear()


def unheard(info: KeyInfo) -> None:
    """Nobody is told."""


# --- a task that runs without the setting while the keyring goes to a service ---


def test_what_a_task_makes_at_the_last_moment_keeps_the_key_that_wraps_it(
    vault: FakeVault, keyring: Keyring
) -> None:
    task, late, sealed = open_keyring(keyring.directory, ""), uuid4(), []

    def makes_one(info: KeyInfo) -> None:
        sealed.append(task.create_data_key(late).seal(b"canary", bound_to="x"))

    there = rotation.under(keyring, vault.address)
    with pytest.raises(KeyringError, match=r"1 files came under .* meanwhile.*pause the campaigns"):
        rotation.reseal(there, doomed=makes_one)
    assert task.data_key(late).open(sealed[0], bound_to="x") == b"canary"
    rotation.reseal(there)
    assert not list((keyring.directory / "wrap").glob("*.key"))
    moved = open_keyring(keyring.directory, vault.address)
    assert moved.data_key(late).open(sealed[0], bound_to="x") == b"canary"


def test_no_destruction_is_on_record_where_something_is_known_to_rest(
    vault: FakeVault, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = open_keyring(keyring.directory, "")
    doomed: list[KeyInfo] = []
    bring = type(keyring.purposes["dkim"]).reseal

    def makes_one(*arguments: object) -> int:
        task.create_data_key(RUN)
        return bring(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(keyring.purposes["dkim"]), "reseal", makes_one)
    with pytest.raises(KeyringError, match="1 files came under"):
        rotation.reseal(rotation.under(keyring, vault.address), doomed=doomed.append)
    assert doomed == []


# --- a shred at the moment of a reseal ---


def test_a_data_key_that_is_shred_while_it_is_read_stops_no_reseal(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = uuid4()
    for run in (RUN, other):
        keyring.create_data_key(run)
    rotation.rotate(keyring, "wrap", unheard)
    read_bytes = Path.read_bytes

    def is_shred_meanwhile(path: Path) -> bytes:
        if path.stem != str(RUN) or not path.exists():
            return read_bytes(path)
        with path.open("rb") as file:
            keyring.destroy_data_key(RUN)
            return file.read()  # noise

    monkeypatch.setattr(Path, "read_bytes", is_shred_meanwhile)
    assert rotation.reseal(keyring) == rotation.Resealed(data_keys=1, files=0)
    assert not keyring.has_data_key(RUN)
    assert keyring.data_key(other)


def test_a_data_key_that_lies_there_and_opens_with_nothing_stops_a_reseal(
    keyring: Keyring,
) -> None:
    keyring.create_data_key(RUN)
    path = keyring.directory / "runs" / f"{RUN}.key"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(KeyringError, match=f"key file {path}"):
        rotation.reseal(keyring)


# --- killed while a file is replaced ---


def _dies_in_replace(directory: Path) -> None:
    """Reseals, and is killed when the new file is written and not yet in its place."""
    os.replace = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
    rotation.reseal(open_keyring(directory))


@pytest.fixture
def leftover(keyring: Keyring) -> Path:
    """What a killed reseal left of the run's data key: it opens under the newest key."""
    keyring.create_data_key(RUN)
    rotation.rotate(keyring, "wrap", unheard)
    process = multiprocessing.get_context("fork").Process(
        target=_dies_in_replace, args=(keyring.directory,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    [left] = (keyring.directory / "runs").glob(".*")
    assert keyring.service.unwrap(left.read_bytes(), f"runs/{RUN}")
    return left


@pytest.mark.parametrize(
    "ends",
    [
        lambda keyring: keyring.destroy_data_key(RUN),
        lambda keyring: (rotation.reseal(keyring), keyring.destroy_data_key(RUN)),
    ],
    ids=["shred", "resealed, then shred"],
)
def test_a_shred_takes_along_what_a_killed_reseal_left_of_a_key(
    keyring: Keyring, leftover: Path, ends: Callable[[Keyring], object]
) -> None:
    before, copy = leftover.read_bytes(), leftover.with_name("snapshot")
    os.link(leftover, copy)  # whoever still holds the file finds noise in it
    ends(keyring)
    assert [path.name for path in (keyring.directory / "runs").iterdir()] == ["snapshot"]
    assert copy.read_bytes() != before


def test_a_reseal_that_goes_on_takes_along_what_a_killed_one_left(
    keyring: Keyring, leftover: Path
) -> None:
    assert rotation.reseal(keyring).data_keys == 1
    assert [path.name for path in (keyring.directory / "runs").iterdir()] == [f"{RUN}.key"]


def test_a_shred_leaves_what_belongs_to_other_keys(keyring: Keyring, leftover: Path) -> None:
    other = uuid4()
    keyring.create_data_key(other)
    keyring.destroy_data_key(other)
    assert leftover.exists()
    assert keyring.data_key(RUN)


# --- a service that wraps what it does not open ---


@pytest.fixture
def wrong(vault: FakeVault, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Vault whose `encrypt` uses another key than its `decrypt`, as behind a bad load balancer."""
    encrypt = vault._encrypt

    def under_another_key(said: dict[str, str]) -> Answer:
        right = dict(vault.keys)
        vault.keys = dict.fromkeys(right, b"z" * 32)
        try:
            return encrypt(said)
        finally:
            vault.keys = right

    monkeypatch.setattr(vault, "_encrypt", under_another_key)
    return vault


def content(keyring: Keyring) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in keyring.directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


WRONG = "does not open what it wrapped; see what answers there"


def test_no_only_copy_is_replaced_with_what_the_service_does_not_open(
    wrong: FakeVault, keyring: Keyring
) -> None:
    there = rotation.under(keyring, wrong.address)
    before = content(keyring)
    with pytest.raises(KeyringError, match=WRONG):
        rotation.reseal(there)  # secret files
    assert content(keyring) == before
    keyring.create_data_key(RUN)
    before = content(keyring)
    with pytest.raises(KeyringError, match=WRONG):
        rotation.reseal(there)  # data keys come first
    assert content(keyring) == before


def test_no_key_is_made_that_the_service_does_not_open(
    vault: FakeVault, keyring: Keyring, request: pytest.FixtureRequest
) -> None:
    rotation.reseal(rotation.under(keyring, vault.address))
    moved = open_keyring(keyring.directory, vault.address)
    request.getfixturevalue("wrong")
    before = content(moved)
    with pytest.raises(KeyringError, match=WRONG):
        moved.create_data_key(RUN)
    assert not moved.has_data_key(RUN)
    with pytest.raises(KeyringError, match=WRONG):
        rotation.rotate(moved, "portal", unheard)
    assert content(moved) == before
