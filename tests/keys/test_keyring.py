"""The keyring: a key per run, until that is gone; pseudonyms; and what each fault of it is told as.

Shows SEC-14 (keys lie wrapped and private), LOG-09 and PRV-26 (keyed pseudonyms).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from keyrings import together
from reengage.errors import KeyringError
from reengage.keys import DataKey, Keyring, ensure_keyring, open_keyring

RUN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


@pytest.fixture
def key(keyring: Keyring) -> DataKey:
    return keyring.create_data_key(RUN)


# --- no secret where people look ---


def test_repr_and_str_show_names_only(keyring: Keyring, key: DataKey, tmp_path: Path) -> None:
    secrets = [
        (tmp_path / "keys" / name / "0001.key").read_bytes()
        for name in ("wrap", "pseudonym", "portal")
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
    assert [f.name for f in keyring.directory.rglob("*") if f.stat().st_mode & 0o077] == []


def test_a_wrapped_key_under_another_runs_name_is_refused(keyring: Keyring, key: DataKey) -> None:
    other = uuid4()
    runs = keyring.directory / "runs"
    shutil.copy(runs / f"{RUN}.key", runs / f"{other}.key")
    with pytest.raises(KeyringError, match="does not open"):
        keyring.data_key(other)


# --- one key per run, and its end ---


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
        patch.setattr("reengage.keys.files.secrets.token_bytes", dies)
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


# --- a keyring with a fault ---


@pytest.mark.parametrize("name", ["wrap/0001.key", "pseudonym/0001.key", "portal/0001.key"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "is missing; restore it from the key backup"),
        (lambda path: path.write_bytes(bytes(31)), "holds 31 bytes, expected 32; restore it"),
        (lambda path: path.write_bytes(b""), "holds 0 bytes, expected 32"),
        (lambda path: path.write_bytes(bytes(32)), "altered, truncated, swapped or of another"),
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
        used(keyring.directory)
    assert str(keyring.directory / name) in str(error.value)


def used(directory: Path) -> None:
    """Every key of a keyring, as a task uses it."""
    keyring = open_keyring(directory)
    keyring.create_data_key(RUN)
    keyring.purpose_key("portal").seal(b"", bound_to="x")


def test_key_files_that_were_swapped_are_told(keyring: Keyring) -> None:
    one, other = (keyring.directory / name / "0001.key" for name in ("portal", "pseudonym"))
    one.rename(one.with_suffix(".old"))
    other.rename(one)
    one.with_suffix(".old").rename(other)
    with pytest.raises(KeyringError, match=r"pseudonym/0001\.key holds another key"):
        used(keyring.directory)


def test_a_key_of_another_keyring_is_told(keyring: Keyring, tmp_path: Path) -> None:
    ensure_keyring(tmp_path / "other")
    foreign = (tmp_path / "other" / "wrap" / "0001.key").read_bytes()
    (keyring.directory / "wrap" / "0001.key").write_bytes(foreign)
    with pytest.raises(KeyringError, match=r"wrap/0001\.key holds another key.*another keyring"):
        used(keyring.directory)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"number": 1}', '{"made": 3}'])
def test_an_info_that_is_none_is_told(keyring: Keyring, content: str) -> None:
    path = keyring.directory / "portal" / "0001.info"
    path.write_text(content)
    with pytest.raises(KeyringError, match=f"{path} is not the info of that key; restore it"):
        open_keyring(keyring.directory)


def test_the_info_of_another_key_is_told(keyring: Keyring) -> None:
    info = keyring.directory / "portal" / "0001.info"
    shutil.copy(keyring.directory / "pseudonym" / "0001.info", info)
    with pytest.raises(KeyringError, match="is not the info of that key"):
        open_keyring(keyring.directory)


@pytest.mark.parametrize("end", [0, 1, 20, 62])
def test_a_data_key_that_is_truncated_is_told_with_its_file(
    keyring: Keyring, key: DataKey, end: int
) -> None:
    path = keyring.directory / "runs" / f"{RUN}.key"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(KeyringError, match=f"key file {path}: a "):
        keyring.data_key(RUN)


def test_a_data_key_that_others_may_read_is_told(keyring: Keyring, key: DataKey) -> None:
    (keyring.directory / "runs" / f"{RUN}.key").chmod(0o640)
    with pytest.raises(KeyringError, match="is readable by others; run `chmod 600"):
        keyring.data_key(RUN)


@pytest.mark.parametrize("lost", ["0001.key", "0001.*"])
def test_a_keyring_that_lost_a_key_is_not_completed_with_a_new_one(
    keyring: Keyring, lost: str
) -> None:
    for path in (keyring.directory / "pseudonym").glob(lost):
        path.unlink()
    with pytest.raises(KeyringError, match=r"pseudonym/0001\.key is missing; restore it"):
        ensure_keyring(keyring.directory)
    assert not (keyring.directory / "pseudonym" / "0001.key").exists()


def test_a_keyring_that_others_may_enter_is_refused(keyring: Keyring) -> None:
    keyring.directory.chmod(0o750)
    with pytest.raises(KeyringError, match="may be entered by others; run `chmod 700"):
        open_keyring(keyring.directory)


def test_a_keyring_of_an_earlier_layout_is_refused(tmp_path: Path) -> None:
    for name in ("wrap.key", "pseudonym.key"):
        (tmp_path / name).write_bytes(bytes(32))
    with pytest.raises(KeyringError, match=r"is of an earlier version.*`make clean`"):
        ensure_keyring(tmp_path)


def test_ensuring_a_keyring_again_changes_nothing(keyring: Keyring) -> None:
    before = {path: path.read_bytes() for path in keyring.directory.rglob("*.*")}
    assert ensure_keyring(keyring.directory) == keyring
    assert {path: path.read_bytes() for path in keyring.directory.rglob("*.*")} == before


def test_a_keyring_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match=r"wrap/0001\.key is missing"):
        open_keyring(tmp_path / "nowhere")


def test_the_dkim_key_is_rsa_2048_and_a_fault_of_its_file_is_told(keyring: Keyring) -> None:
    found = serialization.load_pem_private_key(keyring.dkim_key(), None)
    assert isinstance(found, RSAPrivateKey)
    assert found.key_size == 2048
    path = keyring.directory / "dkim" / "0001.pem"
    path.chmod(0o604)
    with pytest.raises(KeyringError, match=r"dkim/0001\.pem is readable by others"):
        keyring.dkim_key()
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(KeyringError, match=r"dkim/0001\.pem holds another key.*truncated"):
        keyring.dkim_key()
    path.unlink()
    with pytest.raises(KeyringError, match=r"dkim/0001\.pem is missing; restore it"):
        keyring.dkim_key()
