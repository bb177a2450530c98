"""Append: entries join the ledger in the caller's transaction, or its transaction does not commit.

One writer at a time holds the head, from `append` to the end of its transaction; call it last. The
bytes are made before the lock is taken, so that it is held for as long as the writing takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.canonical import canonical, instant
from reengage.ledger.entry import assemble
from reengage.ledger.merkle import Frontier, leaf_hash
from reengage.ledger.records import Record, subject_of

_HEAD = "SELECT origin, size, peaks, recorded_at, mac FROM ledger_head"
# The clock is read once the head is ours: read while waiting for it, it would run backwards.
_LOCKED = (
    f"WITH head AS MATERIALIZED ({_HEAD} FOR UPDATE)"  # noqa: S608 - no value
    " SELECT *, clock_timestamp() AS now FROM head"
)


@dataclass(frozen=True)
class Head:
    """The ledger so far."""

    origin: str
    frontier: Frontier
    recorded_at: datetime | None
    """Of the last entry; None = it is empty."""


def append(connection: Connection, keyring: Keyring, records: Sequence[Record]) -> range:
    """Add the records in this order; gives their indices. Commits nothing.

    Raises LedgerError when a record has no canonical form, or when the head is not what this
    keyring's writers left: nothing may be done that cannot be recorded (LOG-12).
    """
    if not records:
        return range(0)
    bodies = [_body(record, number) for number, record in enumerate(records)]
    head, now = _locked(connection, keyring)
    entries, recorded_at = _entries(records, bodies, head, now)
    leaves = [leaf_hash(entry) for entry in entries]
    first = head.frontier.size
    _write(connection, [
        (first + n, record.kind, record.subject, leaf, entry)
        for n, (record, leaf, entry) in enumerate(zip(records, leaves, entries, strict=True))
    ])  # fmt: skip
    frontier = head.frontier.extended(leaves)
    connection.execute(
        text("UPDATE ledger_head SET size = :size, peaks = :peaks, recorded_at = :at, mac = :mac"),
        {
            "size": frontier.size,
            "peaks": frontier.to_bytes(),
            "at": recorded_at,
            "mac": head_mac(keyring, head.origin, frontier, recorded_at),
        },
    )
    return range(first, frontier.size)


def read_head(connection: Connection, keyring: Keyring) -> Head:
    """The ledger so far. Raises LedgerError when it is not what this keyring's writers left."""
    row = connection.execute(text(_HEAD)).one()
    return _sound(row, keyring)


def locked_head(connection: Connection, keyring: Keyring) -> Head:
    """The same, and nobody else appends until the transaction ends.

    Raises LedgerError also when this very transaction appended: what may be rolled back is no basis
    for anything that leaves the database.
    """
    head, _ = _locked(connection, keyring)
    ours = text("SELECT xmin = pg_current_xact_id_if_assigned()::xid FROM ledger_head")
    if connection.execute(ours).scalar_one():
        raise LedgerError("entries of this transaction are not committed yet; commit them first")
    return head


def head_mac(keyring: Keyring, origin: str, frontier: Frontier, at: datetime) -> bytes:
    """What only a writer with the keyring can put beside a head."""
    said = f"{origin}\n{frontier.size}\n{instant(at)}\n".encode() + frontier.to_bytes()
    return keyring.authenticator("ledger/head", said)


def _locked(connection: Connection, keyring: Keyring) -> tuple[Head, datetime]:
    """The head, held until the transaction ends, and the database's clock after that wait."""
    row = connection.execute(text(_LOCKED)).one()
    return _sound(row, keyring), row.now


def _sound(row: Any, keyring: Keyring) -> Head:
    try:
        frontier = Frontier.from_bytes(row.size, bytes(row.peaks))
    except ValueError:
        frontier = None
    if frontier and not frontier.size and not row.mac and row.recorded_at is None:
        return Head(row.origin, frontier, None)
    if (
        frontier is None
        or row.recorded_at is None
        or bytes(row.mac) != head_mac(keyring, row.origin, frontier, row.recorded_at)
    ):
        raise LedgerError(
            f"the head of the ledger (size {row.size}) is not what its writers left: it was altered"
            " or restored beside them; nothing is appended: run `python -m reengage ledger verify`"
        )
    return Head(row.origin, frontier, row.recorded_at)


def _entries(
    records: Sequence[Record], bodies: Sequence[bytes], head: Head, now: datetime
) -> tuple[list[bytes], datetime]:
    """The canonical bytes of the entries, around the finished bodies."""
    first, at = head.frontier.size, instant(now)
    back = head.recorded_at is not None and now < head.recorded_at
    entries = [
        assemble(
            body,
            back=back and not number,
            index=first + number,
            kind=record.kind,
            recorded_at=at,
        )
        for number, (record, body) in enumerate(zip(records, bodies, strict=True))
    ]
    return entries, now


def _body(record: Record, number: int) -> bytes:
    """The canonical body. Raises LedgerError naming the record and the path of what has none."""
    try:
        body = canonical(record.body)
        subject_of(record.kind, record.body)
    except LedgerError as error:
        raise LedgerError(
            f"record {number} of {record.kind}: {error}; nothing was appended"
        ) from None
    return body


def _write(connection: Connection, rows: Sequence[tuple[int, str, str, bytes, bytes]]) -> None:
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(
            "COPY ledger_entry (index, kind, subject, leaf, entry) FROM STDIN (FORMAT binary)"
        ) as copy,
    ):
        copy.set_types(["int8", "text", "text", "bytea", "bytea"])
        for row in rows:
            copy.write_row(row)
