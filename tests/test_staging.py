"""Staging: a batch lies in the store sealed, part by part, and comes back as it was (SEC-14)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from reengage import staging
from reengage.errors import KeyringError, StoreError
from reengage.keys import DataKey, Keyring, ensure_keyring
from sqlalchemy import Connection, create_engine, text

ROWS: list[staging.Row] = [
    {
        "patient_key": "canary-key",
        "recipient": "canary@example.org",
        "medication.name": "Añil\u2028\"'\\ 漢 {} $date",
        "language": None,
        "expires_at": datetime(2025, 6, 5, 17, 0, 0, 123456, tzinfo=UTC),
        "appointment.start_at": datetime(2025, 6, 2, 9, 30, tzinfo=timezone(timedelta(hours=-5))),
        "birth_date": date(1970, 1, 1),
        "count": 3,
        "flag": False,
    },
    {"patient_key": "second"},
]


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


@pytest.fixture
def store(store_url: str) -> Iterator[Connection]:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def key(keyring: Keyring, store: Connection) -> DataKey:
    return opened_run(keyring, store)


def opened_run(keyring: Keyring, store: Connection) -> DataKey:
    key = keyring.create_data_key(uuid4())
    store.execute(
        text(
            "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256,"
            " vendor, baa_id) VALUES (:run_id, 'c', '2025-06-02', 'live', 'r', '', 'v', 'b')"
        ),
        {"run_id": key.run_id},
    )
    return key


def test_rows_come_back_as_they_were_types_included(store: Connection, key: DataKey) -> None:
    staging.write_part(store, key, 0, ROWS)
    (found,) = staging.read_parts(store, key, [0])
    assert found == ROWS
    assert [type(value) for value in found[0].values()] == [type(v) for v in ROWS[0].values()]


def test_a_part_in_the_store_shows_nothing_of_its_rows(store: Connection, key: DataKey) -> None:
    staging.write_part(store, key, 0, ROWS)
    stored = str(store.execute(text("SELECT batch_part.* FROM batch_part")).mappings().one())
    sealed = store.execute(text("SELECT sealed FROM batch_part")).scalar_one()
    assert "canary" not in stored
    assert b"canary" not in sealed


def test_parts_are_read_in_the_order_asked_for(store: Connection, key: DataKey) -> None:
    for part in (2, 0, 1):
        staging.write_part(store, key, part, [{"patient_key": f"p{part}"}])
    assert staging.part_numbers(store, key.run_id) == [0, 1, 2]
    found = staging.read_parts(store, key, [1, 2])
    assert [rows[0]["patient_key"] for rows in found] == ["p1", "p2"]


def test_swapped_parts_are_refused(store: Connection, key: DataKey) -> None:
    staging.write_part(store, key, 0, ROWS)
    staging.write_part(store, key, 1, ROWS)
    store.execute(text("UPDATE batch_part SET part = part + 2"))
    store.execute(text("UPDATE batch_part SET part = 3 - part"))
    with pytest.raises(KeyringError, match="moved to another place"):
        list(staging.read_parts(store, key, [0]))


def test_a_part_of_another_run_is_refused(
    store: Connection, keyring: Keyring, key: DataKey
) -> None:
    other = opened_run(keyring, store)
    staging.write_part(store, other, 0, ROWS)
    store.execute(text("UPDATE batch_part SET run_id = :mine"), {"mine": key.run_id})
    with pytest.raises(KeyringError):
        list(staging.read_parts(store, key, [0]))


def test_a_destroyed_key_makes_the_batch_unreadable(
    store: Connection, keyring: Keyring, key: DataKey
) -> None:
    staging.write_part(store, key, 0, ROWS)
    keyring.destroy_data_key(key.run_id)
    with pytest.raises(KeyringError, match="was destroyed"):
        keyring.data_key(key.run_id)
    with pytest.raises(KeyringError):
        list(staging.read_parts(store, keyring.create_data_key(key.run_id), [0]))


def test_a_part_that_is_not_there_is_told_with_the_way_out(store: Connection, key: DataKey) -> None:
    with pytest.raises(StoreError, match=f"part 4 of the batch of run {key.run_id}.*clear"):
        list(staging.read_parts(store, key, [4]))


def test_clearing_forgets_this_runs_batch_only(
    store: Connection, keyring: Keyring, key: DataKey
) -> None:
    other = opened_run(keyring, store)
    for one in (key, other):
        staging.write_part(store, one, 0, ROWS)
    staging.clear_batch(store, key.run_id)
    staging.clear_batch(store, key.run_id)
    assert staging.part_numbers(store, key.run_id) == []
    assert staging.part_numbers(store, other.run_id) == [0]


def test_an_empty_part_is_one(store: Connection, key: DataKey) -> None:
    staging.write_part(store, key, 0, [])
    assert list(staging.read_parts(store, key, [0])) == [[]]


def test_a_value_that_a_batch_cannot_hold_is_refused_without_telling_it(
    store: Connection, key: DataKey
) -> None:
    with pytest.raises(TypeError, match="a batch cannot hold a set") as error:
        staging.write_part(store, key, 0, [{"patient_key": {"canary"}}])
    assert "canary" not in str(error.value)
    assert staging.part_numbers(store, key.run_id) == []
