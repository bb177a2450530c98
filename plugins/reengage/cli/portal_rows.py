"""Portal rows: what of the store is sealed under the keyring's `portal` key, and moving it.

Letters that wait at the portal, addresses that patients named, messages that wait to be sent. The
second and third octet of a sealed value name the key's number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from reengage.errors import KeyringError
from reengage.keys import Keyring

# PostgreSQL may look at this before the condition that stands before it.
_NUMBER = "CASE WHEN length(sealed) > 3 THEN get_byte(sealed, 1) * 256 + get_byte(sealed, 2) END"


@dataclass(frozen=True)
class _Table:
    """Where the rows are: SQL for what names one, and for what it is bound to."""

    name: str
    row: str
    bound_to: str

    @property
    def sealed(self) -> str:
        """Its sealed rows; what was offered has been emptied."""
        return f"FROM {self.name} WHERE length(sealed) > 3"


_TABLES = (
    _Table("portal_message", "message_id", "message_id"),
    _Table("portal_address", "patient || '/' || recipient", "'address/' || patient"),
    _Table("portal_mail", "CAST(mail_id AS text)", "'mail/' || kind"),
)


def by_number(connection: Connection) -> Mapping[int, int]:
    """Number of the key -> how many rows open with it only."""
    found: Counter[int] = Counter()
    for table in _TABLES:
        rows = connection.execute(
            text(f"SELECT {_NUMBER} AS number, count(*) AS rows {table.sealed} GROUP BY 1")
        )
        found.update({row.number: row.rows for row in rows})
    return found


def delete(connection: Connection, number: int) -> int:
    """Delete the rows that only this key opens; gives how many. The caller commits.

    Who named an address that goes with it gets no letter until they name it again.
    """
    return sum(
        connection.execute(
            text(f"DELETE {table.sealed} AND {_NUMBER} = :number"), {"number": number}
        ).rowcount
        for table in _TABLES
    )


def reseal(engine: Engine, keyring: Keyring) -> tuple[int, Counter[int]]:
    """Bring the rows under the newest key, one at a time, beside running tasks.

    Gives how many were, and by number of their key how many do not open and were left.
    """
    portal = keyring.purpose_key("portal")
    portal.keys.secret(portal.keys.newest())  # a service that is down is no fault of the rows
    done, closed = 0, Counter[int]()
    for table in _TABLES:
        with engine.connect() as connection:
            old = connection.execute(
                text(
                    f"SELECT {table.row} AS row, {table.bound_to} AS bound_to, sealed,"
                    f" {_NUMBER} AS number {table.sealed} AND {_NUMBER} <> :new"
                ),
                {"new": portal.keys.newest()},
            ).all()
        for row in old:
            try:
                sealed = portal.reseal(bytes(row.sealed), bound_to=row.bound_to)
            except KeyringError:
                closed[row.number] += 1
                continue
            with engine.begin() as connection:
                connection.execute(
                    text(f"UPDATE {table.name} SET sealed = :new WHERE {table.row} = :row"),  # noqa: S608
                    {"row": row.row, "new": sealed},
                )
            done += 1
    return done, closed
