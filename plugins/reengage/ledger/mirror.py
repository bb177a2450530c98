"""Mirror: tells an OpenLineage backend, in order, what the ledger says (OLN-13, OLN-14).

The ledger is the truth and a backend a copy that may lag: it is told each event at least once, from
where it was left off (table `ledger_mirror`), by a process of its own. Nothing here takes the lock
that appending takes, and no transaction is open while the backend is spoken to, so that one that
is slow, down or gone delays no run. What it answers is neither kept nor shown, only its status.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import count
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Connection, Engine, text

from reengage.errors import LedgerError
from reengage.ledger.canonical import canonical

PATH = "/api/v1/lineage"
"""Where an OpenLineage backend takes events, below its address."""
WINDOW = 500
"""Entries that are read at once."""
TRIES = 6
"""How often an event is offered to a backend that does not answer: half a minute in all."""
REFUSALS = 3
"""How often an event is offered to a backend that refuses it."""
LONGEST_PAUSE_SECONDS = 60.0
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 30.0
_LOCK = 7110004  # of PostgreSQL's advisory locks, with the endpoint's number
_BUSY = frozenset({408, 425, 429})
_LONGEST_ANSWER = 65_536

Pause = Callable[[float], None]


class MirrorError(LedgerError):
    """The operator of the lineage backend must act; the ledger itself is whole, nothing is lost."""


@dataclass(frozen=True)
class Backend:
    """An OpenLineage endpoint."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS

    @property
    def endpoint(self) -> str:
        """What the store calls it: a digest, since an address can tell of a token."""
        return sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True)
class Lag:
    """How far a backend was told."""

    next: int
    """The first entry that it was not told of."""
    waiting: int
    """Run events from there on."""
    told_at: datetime | None


def lag(connection: Connection, backend: Backend) -> Lag:
    """How far the backend was told; changes nothing."""
    row = connection.execute(
        text(
            "WITH mirror AS (SELECT coalesce(max(next), 0) AS next, max(told_at) AS told_at"
            " FROM ledger_mirror WHERE endpoint = :endpoint)"
            " SELECT next, told_at, (SELECT count(*) FROM ledger_entry"
            " WHERE kind = 'run_event' AND index >= mirror.next) AS waiting FROM mirror"
        ),
        {"endpoint": backend.endpoint},
    ).one()
    return Lag(row.next, row.waiting, row.told_at)


def replay(
    store: Engine, backend: Backend, *, tries: int | None = TRIES, pause: Pause = time.sleep
) -> int:
    """Tell the backend every run event that it was not told; gives their number.

    Without `tries` it waits for a backend that does not answer for as long as it takes. Raises
    MirrorError naming the entry at which it stopped; the next call goes on with that one.
    """
    told = 0
    with _alone(store, backend) as connection, _client(backend) as client:
        while window := _window(connection, backend):
            for index, event in window:
                if event is not None:
                    _tell(client, index, event, tries, pause)
                    told += 1
                    _note(connection, backend, index + 1)
            _note(connection, backend, window[-1][0] + 1)
    return told


def follow(
    store: Engine,
    backend: Backend,
    *,
    wanted: Callable[[], bool] = lambda: True,
    pause: Pause = time.sleep,
) -> None:
    """Tell the backend each event soon after it was appended, while that is wanted.

    Raises MirrorError when an event is refused: a person must look, for order is kept.
    """
    while wanted():
        replay(store, backend, tries=None, pause=pause)
        pause(POLL_SECONDS)


@contextmanager
def _alone(store: Engine, backend: Backend) -> Iterator[Connection]:
    """A connection that holds the endpoint: two at once would mix up the order."""
    number = int.from_bytes(bytes.fromhex(backend.endpoint[:8]), "big", signed=True)
    key = {"lock": _LOCK, "number": number}
    with store.connect() as connection:
        held = connection.execute(text("SELECT pg_try_advisory_lock(:lock, :number)"), key)
        if not held.scalar_one():
            raise MirrorError("another process tells this backend already; let it, or stop it")
        connection.execute(
            text(
                "INSERT INTO ledger_mirror (endpoint, next) VALUES (:endpoint, 0)"
                " ON CONFLICT DO NOTHING"
            ),
            {"endpoint": backend.endpoint},
        )
        connection.commit()
        yield connection
        # After a fault the lock ends with the session, which the server notices a moment later.
        connection.execute(text("SELECT pg_advisory_unlock(:lock, :number)"), key)


def _client(backend: Backend) -> httpx.Client:
    headers = {"Content-Type": "application/json", "User-Agent": "reengage"}
    if backend.token:
        headers["Authorization"] = f"Bearer {backend.token}"
    # What is told on this machine is told to no proxy.
    proxied = urlsplit(backend.url).scheme == "https"
    return httpx.Client(
        base_url=backend.url, headers=headers, timeout=backend.timeout_seconds, trust_env=proxied
    )


def _window(connection: Connection, backend: Backend) -> list[tuple[int, bytes | None]]:
    """The next entries: index, and the event's bytes where the entry holds one."""
    found = connection.execute(
        text(
            "SELECT index, CASE WHEN kind = 'run_event' THEN entry END AS entry FROM ledger_entry"
            " WHERE index >= (SELECT next FROM ledger_mirror WHERE endpoint = :endpoint)"
            " ORDER BY index LIMIT :window"
        ),
        {"endpoint": backend.endpoint, "window": WINDOW},
    ).all()
    connection.commit()
    return [(index, _event(entry)) for index, entry in found]


def _event(entry: bytes | None) -> bytes | None:
    return None if entry is None else canonical(json.loads(bytes(entry))["body"])


def _note(connection: Connection, backend: Backend, following: int) -> None:
    connection.execute(
        text(
            "UPDATE ledger_mirror SET next = :next, told_at = clock_timestamp()"
            " WHERE endpoint = :endpoint"
        ),
        {"next": following, "endpoint": backend.endpoint},
    )
    connection.commit()


def _tell(client: httpx.Client, index: int, event: bytes, tries: int | None, pause: Pause) -> None:
    refused = 0
    for attempt in count(1):
        answer = _post(client, event)
        if answer.taken:
            return
        refused += answer.final
        if refused == REFUSALS:
            raise MirrorError(
                f"the lineage backend refuses entry {index} ({answer.said}), {REFUSALS} times; look"
                " there why (address, token, version), then run `python -m reengage ledger mirror`"
                " again: it goes on with this entry"
            )
        if attempt == tries:
            raise MirrorError(
                f"the lineage backend did not take entry {index} ({answer.said}), {tries} times;"
                " nothing is lost: `python -m reengage ledger mirror` goes on with this entry"
            )
        pause(answer.wait_seconds or min(2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS))


@dataclass(frozen=True)
class _Answer:
    said: str
    taken: bool = False
    final: bool = False
    """Whether the same event would be refused again, as far as one can know."""
    wait_seconds: float | None = None


def _post(client: httpx.Client, event: bytes) -> _Answer:
    try:
        with client.stream("POST", PATH, content=event) as response:
            size = 0
            for chunk in response.iter_raw():  # read to its end, the connection can be used again
                size += len(chunk)
                if size > _LONGEST_ANSWER:
                    break
    except httpx.HTTPError as error:
        return _Answer(type(error).__name__)
    status = response.status_code
    if response.is_success:
        return _Answer(f"status {status}", taken=True)
    final = status < 500 and status not in _BUSY
    return _Answer(f"status {status}", final=final, wait_seconds=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the backend asks for, within reason (RFC 9110 section 10.2.3)."""
    said = response.headers.get("Retry-After", "")
    return min(float(said), LONGEST_PAUSE_SECONDS) if said.isascii() and said.isdigit() else None
