"""Tries: how many log-ins were tried, by account and by address of the network (SEC-06).

Counted in the store, so that all processes and replicas of the api-server count together; under
pseudonyms of the keyring that are others each day, as the portal's (PRV-35). Where the store or the
keyring does not answer, each process counts for itself with the same limits: whoever must mend the
store can log in, and nobody guesses without a limit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import store
from reengage.errors import ReengageError, place_of
from reengage.keys import Keyring, open_keyring
from reengage.portal.pace import neighbourhood
from reengage.settings import read_settings
from reengage.sql import load_sql

SECONDS = 600
"""A window: who was refused may try again when it is over."""
OF_AN_ACCOUNT, OF_AN_ADDRESS = 10, 60
"""Wrong tries in a window: more than somebody's who forgot which password it was; than those of a
practice behind one router. NIST SP 800-63B section 5.2.2 asks for less than 100 in a row."""
_MOST_NAMES = 100_000
"""Kept by a process that counts for itself; beyond, nobody is let in before the window is over."""
_CONNECTIONS = 4
_PATIENCE = "SET LOCAL statement_timeout = '5s'"
"""A store that is busy with something else is one that does not answer."""

Kind = Literal["account", "address"]
Counted = tuple[Kind, str]
T = TypeVar("T")
log = logging.getLogger(__name__)


def limit_of(counted: Counted) -> int:
    """How many tries in a window are looked at."""
    return OF_AN_ADDRESS if counted[0] == "address" else OF_AN_ACCOUNT


@dataclass(frozen=True)
class Try:
    """One try: when, and whom it was counted for."""

    at: datetime
    counted: tuple[Counted, ...]
    within: bool
    """False = too many: it is not looked at."""

    @property
    def seconds_to_wait(self) -> int:
        """Until the window is over."""
        return SECONDS - int((self.at - _EPOCH).total_seconds()) % SECONDS


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""What the windows are counted from, as in sql/log_in/."""


@dataclass
class Tries:
    """The counts, of one process of the api-server."""

    own: dict[tuple[int, Counted], int] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def begin(self, at: datetime, address: str, accounts: Collection[str]) -> Try:
        """Count a try before it is looked at, so that many at once are as few as one by one."""
        everyone: list[Counted] = [("address", neighbourhood(address))]
        everyone += [("account", one) for one in sorted(accounts)]
        return self._somewhere(
            lambda connection: _try(at, everyone, lambda one: self._count(connection, at, one)),
            lambda: _try(at, everyone, lambda one: self._count_here(at, one)),
        )

    def was_right(self, one: Try) -> None:
        """Take a try back: who knows the password may log in as often as they like."""

        def there(connection: Connection) -> None:
            for counted in one.counted:
                self._ask(connection, "take_back", one.at, counted)

        def here() -> None:
            for counted in one.counted:
                self._take_back_here(one.at, counted)

        self._somewhere(there, here)

    def _somewhere(self, there: Callable[[Connection], T], here: Callable[[], T]) -> T:
        try:
            with self._store.begin() as connection:
                connection.execute(text(_PATIENCE))
                return there(connection)
        except (SQLAlchemyError, ReengageError, OSError) as error:
            log.warning("tries to log in are counted by this process alone: %s", place_of(error))
            with self._lock:
                return here()

    @cached_property
    def _store(self) -> Engine:
        return store.connect(read_settings().store_url, connections=_CONNECTIONS)

    @cached_property
    def _keyring(self) -> Keyring:
        return open_keyring(read_settings().keyring)

    def _count(self, connection: Connection, at: datetime, one: Counted) -> int:
        asked: int = self._ask(connection, "count", at, one).scalar_one()
        return asked

    def _ask(
        self, connection: Connection, question: str, at: datetime, one: Counted
    ) -> CursorResult[Any]:
        kind, name = one
        pseudonym = self._keyring.pseudonym(f"log-in/{kind}/{at:%Y-%m-%d}", name)
        sql = load_sql(read_settings().home, f"log_in/{question}.sql")
        return connection.execute(text(sql), {"name": pseudonym, "now": at, "seconds": SECONDS})

    def _count_here(self, at: datetime, one: Counted) -> int:
        window = _window(at)
        for old in [key for key in self.own if key[0] < window]:
            del self.own[old]
        if len(self.own) >= _MOST_NAMES and (window, one) not in self.own:
            return limit_of(one) + 1
        asked = self.own.get((window, one), 0) + 1
        self.own[window, one] = asked
        return asked

    def _take_back_here(self, at: datetime, one: Counted) -> None:
        key = (_window(at), one)
        if self.own.get(key):
            self.own[key] -= 1


def _try(at: datetime, everyone: Sequence[Counted], count: Callable[[Counted], int]) -> Try:
    """The address first: one that asked too often makes no row for each account it thinks of."""
    counted: list[Counted] = []
    for one in everyone:
        counted.append(one)
        if count(one) > limit_of(one):  # no name: it may be a password in the wrong field
            log.warning("too many tries to log in, of one %s", one[0])
            return Try(at, tuple(counted), within=False)
    return Try(at, tuple(counted), within=True)


def _window(at: datetime) -> int:
    return int((at - _EPOCH).total_seconds()) // SECONDS
