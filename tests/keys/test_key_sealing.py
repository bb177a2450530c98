"""Sealing: what is sealed opens only whole, in its place and under its own key (SEC-14)."""

from __future__ import annotations

import traceback
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import KeyringError
from reengage.keys import DataKey, Keyring, PurposeKey, ensure_keyring

RUN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


@pytest.fixture
def key(keyring: Keyring) -> DataKey:
    return keyring.create_data_key(RUN)


@pytest.fixture
def portal(keyring: Keyring) -> PurposeKey:
    return keyring.purpose_key("portal")


# --- a data key ---


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_sealed_opens_again(plaintext: bytes, label: str) -> None:
    key = DataKey(str(RUN), bytes(32))
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
    one, other = DataKey(str(RUN), bytes(32)), DataKey(str(uuid4()), bytes(32))
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


# --- a purpose's key ---


def test_what_the_portal_sealed_opens_in_its_place_only_and_names_its_key(
    portal: PurposeKey,
) -> None:
    sealed = portal.seal(b"canary", bound_to="message/1")
    assert sealed[:3] == b"\x02\x00\x01"
    assert portal.open(sealed, bound_to="message/1") == b"canary"
    with pytest.raises(KeyringError, match="does not open"):
        portal.open(sealed, bound_to="message/2")


def test_every_single_bit_flip_of_what_the_portal_sealed_is_refused(portal: PurposeKey) -> None:
    sealed = portal.seal(b"canary", bound_to="message/1")
    opened = []
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            opened.append(portal.open(bytes(flipped), bound_to="message/1"))
        except KeyringError:
            continue
    assert opened == []
    for altered in [*(sealed[:end] for end in range(len(sealed))), sealed + b"\x00"]:
        with pytest.raises(KeyringError):
            portal.open(altered, bound_to="message/1")


def test_what_one_purpose_sealed_no_other_opens(keyring: Keyring, portal: PurposeKey) -> None:
    sealed = portal.seal(b"canary", bound_to="runs/x")
    with pytest.raises(KeyringError):
        keyring.service.unwrap(sealed, "runs/x")
    with pytest.raises(KeyringError, match="nothing is sealed for purpose 'pseudonym'; use portal"):
        keyring.purpose_key("pseudonym")
