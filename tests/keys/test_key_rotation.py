"""Rotation: the newest seals, any opens, a destroyed one opens nothing, whoever works meanwhile."""

from __future__ import annotations

import fcntl
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from keyrings import together
from reengage.errors import KeyringError
from reengage.keys import Keyring, ensure_keyring, open_keyring, rotation
from reengage.keys.files import LOCK, locked
from reengage.keys.info import KeyInfo

RUN = UUID("00000000-0000-4000-8000-000000000001")
MONTH = date(2025, 6, 2)


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "SETTLING", timedelta(0))


def unheard(info: KeyInfo) -> None:
    """Nobody is told."""


def states(keyring: Keyring, purpose: str) -> list[str]:
    return [one.state for one in rotation.listed(keyring, {}) if one.purpose == purpose]


def destroy(keyring: Keyring, purpose: str, number: int, agreed: int = 0) -> int:
    """As the command does it, without the ledger."""
    with locked(keyring.directory, alone=True):
        resting = rotation.resting_on_wrap(keyring)[number] if purpose == "wrap" else 0
        used = rotation.in_use(keyring, purpose)
        rotation.require_destroyable(keyring, purpose, number, resting, agreed, used)
        return rotation.destroy(keyring, purpose, number)


# --- the newest seals, any opens ---


def test_a_process_that_opened_the_keyring_before_opens_what_a_newer_key_sealed(
    keyring: Keyring,
) -> None:
    before, other = keyring.purpose_key("portal"), open_keyring(keyring.directory)
    old = before.seal(b"old", bound_to="x")
    assert rotation.rotate(other, "portal", unheard).number == 2
    new = other.purpose_key("portal").seal(b"new", bound_to="x")
    assert new[:3] == b"\x02\x00\x02"
    assert [before.open(one, bound_to="x") for one in (old, new)] == [b"old", b"new"]
    assert before.seal(b"", bound_to="x")[:3] == b"\x02\x00\x02"
    assert states(keyring, "portal") == ["opens", "seals"]


def test_data_keys_from_before_and_after_a_rotation_open(keyring: Keyring) -> None:
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    rotation.rotate(keyring, "wrap", unheard)
    after = uuid4()
    open_keyring(keyring.directory).create_data_key(after)
    assert keyring.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert keyring.data_key(after).run_id == after
    assert rotation.resting_on_wrap(keyring) == {1: 1, 2: 1}


def test_a_key_that_nobody_was_told_of_is_not_in_force(keyring: Keyring) -> None:
    def refuses(info: KeyInfo) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(keyring, "wrap", refuses)
    assert states(keyring, "wrap") == ["seals"]
    assert rotation.rotate(keyring, "wrap", unheard).number == 3  # 2 is somebody's leftover
    assert states(keyring, "wrap") == ["opens", "seals"]


def test_makers_at_the_same_moment_make_different_keys(keyring: Keyring) -> None:
    made = together(lambda _: rotation.rotate(keyring, "portal", unheard).number)
    assert sorted(made) == list(range(2, 10))
    assert states(keyring, "portal") == ["opens"] * 8 + ["seals"]


def test_the_pseudonym_key_is_not_rotated_for_a_reason(keyring: Keyring) -> None:
    with pytest.raises(KeyringError, match="cannot be rotated: under a new one no opt-out"):
        rotation.rotate(keyring, "pseudonym", unheard)
    assert states(keyring, "pseudonym") == ["seals"]


def test_a_number_that_the_keyring_lacks_is_told(keyring: Keyring) -> None:
    rotation.rotate(keyring, "portal", unheard)
    sealed = keyring.purpose_key("portal").seal(b"", bound_to="x")
    for path in (keyring.directory / "portal").glob("0002.*"):
        path.unlink()
    with pytest.raises(KeyringError, match=r"portal key 2 is not in the keyring.*restore .*0002"):
        keyring.purpose_key("portal").open(sealed, bound_to="x")


# --- reseal ---


def test_a_reseal_leaves_nothing_on_old_keys_and_changes_no_data_key(keyring: Keyring) -> None:
    sealed = keyring.create_data_key(RUN).seal(b"canary", bound_to="x")
    kept = keyring.create_month_key(MONTH).seal(b"evidence", bound_to="y")
    rotation.rotate(keyring, "wrap", unheard)
    keyring.create_data_key(uuid4())
    assert rotation.reseal(keyring) == rotation.Resealed(data_keys=2, files=0)
    assert rotation.reseal(keyring) == rotation.Resealed(data_keys=0, files=0)
    assert rotation.resting_on_wrap(keyring) == {2: 3}
    assert destroy(keyring, "wrap", 1) == 0
    again = open_keyring(keyring.directory)
    assert again.data_key(RUN).open(sealed, bound_to="x") == b"canary"
    assert again.month_key(MONTH).open(kept, bound_to="y") == b"evidence"


def test_a_portal_row_is_resealed_under_the_newest_key_only_once(keyring: Keyring) -> None:
    portal = keyring.purpose_key("portal")
    sealed = portal.seal(b"letter", bound_to="m/1")
    assert portal.reseal(sealed, bound_to="m/1") is sealed
    rotation.rotate(keyring, "portal", unheard)
    again = portal.reseal(sealed, bound_to="m/1")
    assert again[:3] == b"\x02\x00\x02"
    assert portal.open(again, bound_to="m/1") == b"letter"
    with pytest.raises(KeyringError):
        portal.reseal(sealed, bound_to="m/2")


def test_a_data_key_destroyed_while_it_is_resealed_stays_destroyed(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.create_data_key(RUN)
    rotation.rotate(keyring, "wrap", unheard)
    wrap = type(keyring.service).wrap

    def destroys_meanwhile(self: object, key: bytes, bound_to: str) -> bytes:
        open_keyring(keyring.directory).destroy_data_key(RUN)
        return wrap(self, key, bound_to)  # type: ignore[arg-type]

    monkeypatch.setattr(type(keyring.service), "wrap", destroys_meanwhile)
    assert rotation.reseal(keyring).data_keys == 0
    assert not keyring.has_data_key(RUN)


def test_who_destroys_waits_for_a_data_key_that_is_being_made_and_sees_it(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap, waits = type(keyring.service).wrap, []

    def looks_at_the_lock(self: object, key: bytes, bound_to: str) -> bytes:
        with (keyring.directory / LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits.append(True)
        return wrap(self, key, bound_to)  # type: ignore[arg-type]

    monkeypatch.setattr(type(keyring.service), "wrap", looks_at_the_lock)
    keyring.create_data_key(RUN)
    assert waits == [True]


# --- destroy ---


def test_what_a_destroyed_key_sealed_opens_nowhere_any_more(keyring: Keyring) -> None:
    other = open_keyring(keyring.directory)
    sealed = other.purpose_key("portal").seal(b"canary", bound_to="x")
    assert other.purpose_key("portal").open(sealed, bound_to="x") == b"canary"
    rotation.rotate(keyring, "portal", unheard)
    destroy(keyring, "portal", 1)
    destroy(keyring, "portal", 1)
    for ring in (keyring, other, open_keyring(keyring.directory)):
        with pytest.raises(KeyringError, match=r"portal key 1 was destroyed on \d{4}-.*any more"):
            ring.purpose_key("portal").open(sealed, bound_to="x")
    assert states(keyring, "portal") == ["destroyed", "seals"]
    assert not (keyring.directory / "portal" / "0001.key").exists()


def test_destroying_what_data_keys_rest_on_wants_their_exact_number(keyring: Keyring) -> None:
    doomed, spared = uuid4(), uuid4()
    copies = keyring.directory.parent / "copy.key"
    keyring.create_data_key(doomed)
    keyring.create_month_key(MONTH)
    copies.write_bytes((keyring.directory / "runs" / f"{doomed}.key").read_bytes())
    rotation.rotate(keyring, "wrap", unheard)
    keyring.create_data_key(spared)
    for agreed in (0, 1, 3):
        with pytest.raises(
            KeyringError, match=r"2 things rest on wrap key 1.*reseal first, or say"
        ):
            destroy(keyring, "wrap", 1, agreed)
    assert destroy(keyring, "wrap", 1, agreed=2) == 2
    assert not keyring.has_data_key(doomed)
    assert not keyring.has_month_key(MONTH)
    assert keyring.data_key(spared)
    with pytest.raises(KeyringError, match="wrap key 1 was destroyed"):
        keyring.service.unwrap(copies.read_bytes(), f"runs/{doomed}")


@pytest.mark.parametrize("purpose", rotation.PURPOSES)
def test_the_newest_key_is_never_destroyed(keyring: Keyring, purpose: str) -> None:
    told = "is not in the keyring" if purpose in {"ledger", "smime"} else "in use or the newest"
    with pytest.raises(KeyringError, match=told):
        destroy(keyring, purpose, 1)


def test_a_portal_key_is_not_destroyed_while_tasks_may_commit_what_it_sealed(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "SETTLING", timedelta(minutes=10))
    rotation.rotate(keyring, "portal", unheard)
    with pytest.raises(KeyringError, match="younger than 10 minutes, and letters"):
        destroy(keyring, "portal", 1)


def test_a_destruction_that_was_broken_off_opens_nothing_and_can_be_repeated(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = keyring.purpose_key("portal").seal(b"canary", bound_to="x")
    rotation.rotate(keyring, "portal", unheard)

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reengage.keys.files.destroy", dies)
        with pytest.raises(KeyboardInterrupt):
            destroy(keyring, "portal", 1)
    assert (keyring.directory / "portal" / "0001.key").exists()
    with pytest.raises(KeyringError, match="was destroyed"):
        open_keyring(keyring.directory).purpose_key("portal").open(sealed, bound_to="x")
    destroy(keyring, "portal", 1)
    assert not (keyring.directory / "portal" / "0001.key").exists()


# --- under load ---


def _works(directory: Path, started: Event, stop: Event, failures: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Seals and opens as tasks do, until it is told to stop."""
    keyring, rounds = open_keyring(directory), 0
    portal = keyring.purpose_key("portal")
    long_lived = uuid4()
    old = keyring.create_data_key(long_lived).seal(b"long", bound_to="x")
    rows = [portal.seal(b"row", bound_to="x")]
    try:
        while not stop.is_set() or rounds < 20:
            run = uuid4()
            sealed = keyring.create_data_key(run).seal(b"short", bound_to="x")
            assert keyring.data_key(run).open(sealed, bound_to="x") == b"short"
            assert keyring.data_key(long_lived).open(old, bound_to="x") == b"long"
            keyring.destroy_data_key(run)
            assert not keyring.has_data_key(run)
            rows = [*rows[-20:], portal.seal(b"row", bound_to="x")]
            assert {portal.open(row, bound_to="x") for row in rows} == {b"row"}
            rounds += 1
            started.set()
    except BaseException as error:
        failures.put(repr(error))
        started.set()


@contextmanager
def tasks_at_work(directory: Path, number: int) -> Iterator[None]:
    """Processes that seal and open meanwhile; none of them fails, and none is left behind."""
    context = multiprocessing.get_context("spawn")
    stop, failures = context.Event(), context.Queue()
    starts = [context.Event() for _ in range(number)]
    workers = [
        context.Process(target=_works, args=(directory, started, stop, failures))
        for started in starts
    ]
    for worker in workers:
        worker.start()
    try:
        assert all(started.wait(60) for started in starts)
        yield
        stop.set()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        assert failures.empty()
    finally:
        for worker in workers:
            worker.kill()


def reseal_and_destroy(keyring: Keyring, number: int) -> None:
    """As a person is told to: a task may have wrapped by the older key while it was replaced."""
    for _ in range(5):
        rotation.reseal(keyring)
        try:
            destroy(keyring, "wrap", number)
            return
        except KeyringError as error:
            if "reseal first" not in str(error):
                raise
    pytest.fail(f"wrap key {number} still wraps what is new")


def test_nothing_fails_while_keys_rotate_and_old_data_keys_are_resealed_and_destroyed(
    keyring: Keyring,
) -> None:
    with tasks_at_work(keyring.directory, 3):
        for number in range(1, 8):
            rotation.rotate(keyring, "wrap", unheard)
            rotation.rotate(keyring, "portal", unheard)
            reseal_and_destroy(keyring, number)
    assert states(keyring, "wrap") == ["destroyed"] * 7 + ["seals"]
    assert set(rotation.resting_on_wrap(keyring)) == {8}


# --- kill -9 ---


def _dies(step: Callable[[Keyring], object], directory: Path, at: int) -> None:
    """Runs `step` and is killed just before its `at`-th change of the file system."""
    import os

    left = at

    def counted(name: str) -> None:
        done = getattr(os, name)

        def counts(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done(*arguments, **named)

        setattr(os, name, counts)

    keyring = open_keyring(directory)
    for name in ("link", "unlink", "rename", "replace", "fsync", "pwrite", "mkdir"):
        counted(name)
    step(keyring)


def rotate_wrap(keyring: Keyring) -> None:
    rotation.rotate(keyring, "wrap", unheard)


def reseal(keyring: Keyring) -> None:
    rotation.reseal(keyring)


def destroy_first(keyring: Keyring) -> None:
    destroy(keyring, "wrap", 1)


@pytest.mark.parametrize("step", [rotate_wrap, reseal, destroy_first])
def test_killed_at_any_instant_nothing_is_lost_and_repeating_ends_it(
    keyring: Keyring, step: Callable[[Keyring], None]
) -> None:
    context = multiprocessing.get_context("fork")
    runs = [uuid4() for _ in range(3)]
    sealed = {run: keyring.create_data_key(run).seal(b"canary", bound_to="x") for run in runs}
    if step is not rotate_wrap:
        rotate_wrap(keyring)
    if step is destroy_first:
        reseal(keyring)
    killed = 0
    for at in range(1, 60):
        process = context.Process(target=_dies, args=(step, keyring.directory, at))
        process.start()
        process.join(60)
        again = open_keyring(keyring.directory)
        for run in runs:
            assert again.data_key(run).open(sealed[run], bound_to="x") == b"canary"
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    assert process.exitcode == 0
    assert killed >= 3
    if step is rotate_wrap:
        assert states(again, "wrap")[-1] == "seals"
    elif step is reseal:
        assert set(rotation.resting_on_wrap(again)) == {2}
    else:
        assert states(again, "wrap") == ["destroyed", "seals"]
