"""Keys: what is sealed opens only whole, in its place and under its run's key, until that is gone.

Shows SEC-14 (sealed at rest), LOG-09 and PRV-26 (keyed pseudonyms), and what each fault of a key
file is told as.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import KeyringError
from reengage.keys import DataKey, Keyring, ensure_keyring, open_keyring

RUN = UUID("00000000-0000-4000-8000-000000000001")
MAKERS = 8


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return ensure_keyring(tmp_path / "keys")


@pytest.fixture
def key(keyring: Keyring) -> DataKey:
    return keyring.create_data_key(RUN)


# --- sealing (SEC-14) ---


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_sealed_opens_again(plaintext: bytes, label: str) -> None:
    key = DataKey(RUN, bytes(32))
    assert key.open(key.seal(plaintext, bound_to=label), bound_to=label) == plaintext


def test_every_single_bit_flip_is_refused(key: DataKey) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")
    opened = []
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            opened.append(key.open(bytes(flipped), bound_to="batch/0"))
        except KeyringError:
            continue
    assert opened == []


def test_every_truncation_and_extension_is_refused(key: DataKey) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")
    for altered in [*(sealed[:end] for end in range(len(sealed))), sealed + b"\x00"]:
        with pytest.raises(KeyringError, match="does not open"):
            key.open(altered, bound_to="batch/0")


def test_a_sealed_value_does_not_open_in_another_place(keyring: Keyring, key: DataKey) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")
    with pytest.raises(KeyringError, match="moved to another place"):
        key.open(sealed, bound_to="batch/1")
    with pytest.raises(KeyringError, match="under another key"):
        keyring.create_data_key(uuid4()).open(sealed, bound_to="batch/0")


def test_a_value_of_another_run_does_not_open_even_under_the_same_key() -> None:
    one, other = DataKey(RUN, bytes(32)), DataKey(uuid4(), bytes(32))
    with pytest.raises(KeyringError):
        other.open(one.seal(b"canary", bound_to="batch/0"), bound_to="batch/0")


def test_a_refusal_tells_neither_plaintext_nor_which_check_failed(key: DataKey) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")
    told = set()
    for attempt, label in [(sealed[:-1], "batch/0"), (sealed, "x"), (b"\x02" + sealed[1:], "x")]:
        with pytest.raises(KeyringError) as error:
            key.open(attempt, bound_to=label)
        told.add("".join(traceback.format_exception(error.value)).splitlines()[-1])
    assert len(told) == 1
    assert "canary" not in told.pop()


def test_no_two_sealed_values_are_alike(key: DataKey) -> None:
    assert len({key.seal(b"same", bound_to="x") for _ in range(100)}) == 100


# --- no secret where people look ---


def test_repr_and_str_show_names_only(keyring: Keyring, key: DataKey, tmp_path: Path) -> None:
    secrets = [
        (tmp_path / "keys" / f"{name}.key").read_bytes() for name in ("wrap", "pseudonym")
    ] + [key._key]
    for shown in (repr(keyring), str(keyring), repr(key), str(key)):
        for secret in secrets:
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown
    assert str(RUN) in repr(key)


def test_the_data_key_lies_wrapped_and_private(keyring: Keyring, key: DataKey) -> None:
    path = keyring.directory / "runs" / f"{RUN}.key"
    assert key._key not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyring.directory.stat().st_mode & 0o777 == 0o700
    assert [f.name for f in keyring.directory.iterdir() if f.stat().st_mode & 0o077] == []


def test_a_wrapped_key_under_another_runs_name_is_refused(keyring: Keyring, key: DataKey) -> None:
    other = uuid4()
    runs = keyring.directory / "runs"
    shutil.copy(runs / f"{RUN}.key", runs / f"{other}.key")
    with pytest.raises(KeyringError, match="does not open"):
        keyring.data_key(other)


# --- one key per run, and its end ---


def together(make: Callable[[int], bytes]) -> list[bytes]:
    barrier = Barrier(MAKERS)

    def one(number: int) -> bytes:
        barrier.wait()
        return make(number)

    with ThreadPoolExecutor(MAKERS) as pool:
        return list(pool.map(one, range(MAKERS)))


def test_makers_at_the_same_moment_get_the_same_data_key(keyring: Keyring) -> None:
    for _ in range(5):
        run = uuid4()
        made = together(lambda _, run=run: keyring.create_data_key(run)._key)  # type: ignore[misc]
        assert len(set(made)) == 1
    assert [f.name for f in (keyring.directory / "runs").iterdir() if f.name[0] == "."] == []


def test_makers_at_the_same_moment_get_the_same_keyring(tmp_path: Path) -> None:
    made = together(lambda _: ensure_keyring(tmp_path / "keys")._pseudonym)
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_data_key_is_made_though_the_backup_came_without_its_folder(keyring: Keyring) -> None:
    (keyring.directory / "runs").rmdir()
    assert keyring.create_data_key(RUN) == keyring.data_key(RUN)


def test_a_destroyed_key_makes_what_it_sealed_unreadable(keyring: Keyring, key: DataKey) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")
    path = keyring.directory / "runs" / f"{RUN}.key"
    linked = path.with_name("snapshot")
    os.link(path, linked)  # whoever still holds the file finds noise in it
    before = linked.read_bytes()
    assert keyring.has_data_key(RUN)
    keyring.destroy_data_key(RUN)
    keyring.destroy_data_key(RUN)
    assert not keyring.has_data_key(RUN)
    assert linked.read_bytes() != before
    with pytest.raises(KeyringError, match=f"run {RUN} is not in the keyring.*clear the whole DAG"):
        keyring.data_key(RUN)
    with pytest.raises(KeyringError):
        keyring.create_data_key(RUN).open(sealed, bound_to="batch/0")


def test_a_destroyer_that_died_half_way_leaves_no_noise_where_a_key_is_looked_for(
    keyring: Keyring, key: DataKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = key.seal(b"canary", bound_to="batch/0")

    def dies(_: int) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reengage.keys.secrets.token_bytes", dies)
        with pytest.raises(KeyboardInterrupt):
            keyring.destroy_data_key(RUN)
    assert not keyring.has_data_key(RUN)
    with pytest.raises(KeyringError):
        keyring.create_data_key(RUN).open(sealed, bound_to="batch/0")
    keyring.destroy_data_key(RUN)
    assert list((keyring.directory / "runs").iterdir()) == []


def test_destroyers_at_the_same_moment_do_not_stumble(keyring: Keyring) -> None:
    for _ in range(10):
        run = uuid4()
        keyring.create_data_key(run)
        together(lambda _, run=run: bytes(keyring.destroy_data_key(run) or 0))  # type: ignore[misc]
        assert not keyring.has_data_key(run)


# --- pseudonyms (LOG-09, PRV-26) ---


def test_a_pseudonym_is_stable_keyed_and_of_its_label(keyring: Keyring, tmp_path: Path) -> None:
    name = keyring.pseudonym("patient", "p1")
    assert name == open_keyring(keyring.directory).pseudonym("patient", "p1")
    other = ensure_keyring(tmp_path / "other")
    seen = {
        name,
        keyring.pseudonym("patient", "p2"),
        keyring.pseudonym("recipient", "p1"),
        other.pseudonym("patient", "p1"),
    }
    assert len(seen) == 4
    assert len(name) == 32
    assert int(name, 16) >= 0


def test_label_and_value_cannot_be_shifted_into_each_other(keyring: Keyring) -> None:
    assert keyring.pseudonym("period", "a/b") != keyring.pseudonym("period/a", "b")
    assert keyring.pseudonym("ab", "c") != keyring.pseudonym("a", "bc")


def test_a_link_token_is_not_the_pseudonym(keyring: Keyring) -> None:
    token = keyring.token("opt_out", "p1")
    assert len(token) == 32
    assert token == keyring.token("opt_out", "p1")
    assert token not in {keyring.token("other", "p1"), keyring.token("opt_out", "p2")}
    assert keyring.pseudonym("opt_out", "p1") not in token


# --- key files with a fault ---


@pytest.mark.parametrize("name", ["wrap.key", "pseudonym.key"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "is missing; restore it from the key backup"),
        (lambda path: path.write_bytes(bytes(31)), "holds 31 bytes, expected 32; restore it"),
        (lambda path: path.write_bytes(b""), "holds 0 bytes, expected 32"),
        (lambda path: path.chmod(0o644), "is readable by others; run `chmod 600"),
        (lambda path: path.chmod(0o620), "is readable by others; run `chmod 600"),
        (lambda path: (path.unlink(), path.mkdir(0o700)), "cannot be read"),
    ],
)
def test_a_key_file_with_a_fault_is_told_with_the_way_out(
    keyring: Keyring, name: str, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(keyring.directory / name)
    with pytest.raises(KeyringError, match=told) as error:
        open_keyring(keyring.directory)
    assert str(keyring.directory / name) in str(error.value)


def test_a_keyring_that_lost_a_key_is_not_completed_with_a_new_one(keyring: Keyring) -> None:
    (keyring.directory / "pseudonym.key").unlink()
    with pytest.raises(KeyringError, match=r"pseudonym\.key is missing; restore it"):
        ensure_keyring(keyring.directory)
    assert not (keyring.directory / "pseudonym.key").exists()


def test_ensuring_a_keyring_again_changes_nothing(keyring: Keyring) -> None:
    before = {path.name: path.read_bytes() for path in keyring.directory.glob("*.*")}
    assert ensure_keyring(keyring.directory) == keyring
    assert {path.name: path.read_bytes() for path in keyring.directory.glob("*.*")} == before


def test_a_keyring_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match=r"wrap\.key is missing"):
        open_keyring(tmp_path / "nowhere")


def test_the_dkim_key_is_rsa_2048_and_a_fault_of_its_file_is_told(keyring: Keyring) -> None:
    found = serialization.load_pem_private_key(keyring.dkim_key(), None)
    assert isinstance(found, RSAPrivateKey)
    assert found.key_size == 2048
    path = keyring.directory / "dkim.pem"
    path.chmod(0o604)
    with pytest.raises(KeyringError, match=r"dkim\.pem is readable by others"):
        keyring.dkim_key()
    path.unlink()
    with pytest.raises(KeyringError, match=r"dkim\.pem is missing; restore it"):
        keyring.dkim_key()
