"""Visit: one request of one visitor, with what the pages need; and the record of it.

What a visitor opens, takes out or decides joins the ledger before anything of it leaves (SEC-15):
a page whose record cannot be written is not shown. Reads are read-only transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from fastapi import Request
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from reengage import store
from reengage.errors import StoreError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.reports.auth import Visitor
from reengage.reports.rules import Rule
from reengage.settings import Settings, read_settings

_CONNECTIONS = 10
"""Kept by each process of the server: opening one takes longer than most pages' questions."""


@lru_cache(maxsize=4)
def _store(url: str) -> Engine:
    return store.connect(url, connections=_CONNECTIONS)


@dataclass
class Visit:
    """A request that was let in."""

    visitor: Visitor
    rule: Rule
    request: Request = field(repr=False)
    recorded: bool = field(default=False, init=False)

    @cached_property
    def settings(self) -> Settings:
        """Where things are."""
        return read_settings()

    @cached_property
    def keyring(self) -> Keyring:
        """The practice's keys: nothing is recorded without them."""
        return open_keyring(self.settings.keyring)

    @cached_property
    def store(self) -> Engine:
        """Our own database."""
        return _store(self.settings.store_url)

    @contextmanager
    def reading(self, *, seconds: int = 20) -> Iterator[Connection]:
        """A connection that can change nothing, at one moment; a question may take `seconds`."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.store.connect().execution_options(**options) as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{seconds}s'"))
            yield connection

    @contextmanager
    def reporting(self) -> Iterator[Connection]:
        """The same as a role that can read the schema `report` and nothing else of the store."""
        with self.reading() as connection:
            try:
                connection.execute(text("SET LOCAL ROLE reengage_reporter"))
            except ProgrammingError as error:
                raise StoreError(
                    "the pages may not read the outcomes: let an administrator of the store run"
                    " GRANT reengage_reporter TO the login of REENGAGE_STORE_URL"
                ) from error
            yield connection

    def record(self, detail: Mapping[str, Any] | None = None, *, action: str = "opened") -> None:
        """Record in a transaction of its own what is about to be shown, as the rule names it.

        `detail` holds pseudonyms, days, codes and counts: never what a visitor typed as it came.
        """
        with self.store.begin() as connection:
            store.require_keyring(connection, self.keyring)
            self.note(connection, detail, action=action)

    def was_recorded(self) -> None:
        """What is shown was recorded by the room that made it, under the visitor's name."""
        self.recorded = True

    def note(
        self,
        connection: Connection,
        detail: Mapping[str, Any] | None = None,
        *,
        action: str = "opened",
        of: str | None = None,
    ) -> int:
        """The same in the caller's transaction, last; gives the entry's index."""
        entry = access(
            actor=self.visitor.actor,
            action=action,
            of=of or self.rule.records or "reports",
            detail={name: value for name, value in (detail or {}).items() if value is not None},
        )
        index = append(connection, self.keyring, [entry])[0]
        self.recorded = True
        return index
