"""The mirror: a lineage backend that fails, hangs and comes back is told everything, in order.

OLN-13, OLN-14: what it lost or never got is still in the ledger.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from entries import Books, disclosure, event, ledger
from reengage.embedded import postgres
from reengage.ledger import mirror
from reengage.ledger.mirror import Backend, MirrorError, follow, lag, replay
from sqlalchemy import text

TOKEN = "canary-token"


class Listener:
    """A backend on this machine: answers as its script says, then takes everything."""

    def __init__(self, port: int = 0) -> None:
        self.script: list[int | str] = []
        self.heard: list[dict[str, object]] = []
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.paths: set[str] = set()
        self.raw: list[bytes] = []
        self.gone = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.requests += 1
                listener.raw.append(body)
                listener.paths.add(self.path)
                listener.headers = dict(self.headers.items())
                answer = listener.script.pop(0) if listener.script else 201
                if answer == "hang":
                    listener.gone.wait(30)
                    return
                if answer == "drop":
                    self.close_connection = True
                    return
                if answer == "take and drop":
                    listener.heard.append(json.loads(body))
                    self.close_connection = True
                    return
                if answer == 201:
                    listener.heard.append(json.loads(body))
                self.send_response(int(answer))
                if answer == 429:
                    self.send_header("Retry-After", "7")
                if answer == 301:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"canary")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def runs(self) -> list[int]:
        """Numbers of the runs that it took events of."""
        found = [heard["run"]["runId"] for heard in self.heard]  # type: ignore[index]
        return [int(run_id.replace("-", ""), 16) for run_id in found]


@pytest.fixture(scope="module")
def written(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Ten run events, and letters between them that a backend has no business with."""
    with ledger(server, tmp_path_factory.mktemp("books")) as books:
        for number in range(10):
            books.add(event(number), disclosure(books.keyring, "canary"))
        yield books


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.stop()


@pytest.fixture
def books(written: Books) -> Books:
    """The same ledger, of which nobody was told anything."""
    with written.engine.begin() as connection:
        connection.execute(text("TRUNCATE ledger_mirror"))
    return written


def backend(port: int, **changes: object) -> Backend:
    return Backend(f"http://127.0.0.1:{port}", TOKEN, **changes)  # type: ignore[arg-type]


class Pauses:
    """Waits for nothing, and remembers for how long it should have."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.seconds: list[float] = []
        self.then = then

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.then()


def test_every_run_event_is_told_once_in_order_and_nothing_else(
    books: Books, listener: Listener
) -> None:
    to = backend(listener.port)
    with books.engine.connect() as connection:
        assert (lag(connection, to).next, lag(connection, to).waiting) == (0, 10)
    assert replay(books.engine, to) == 10
    assert listener.runs == list(range(10))
    assert listener.paths == {"/api/v1/lineage"}
    assert listener.headers["Authorization"] == f"Bearer {TOKEN}"
    assert listener.headers["Content-Type"] == "application/json"
    with books.engine.connect() as connection:
        found = lag(connection, to)
    assert (found.next, found.waiting) == (20, 0)
    assert found.told_at is not None
    assert replay(books.engine, to) == 0
    assert listener.requests == 10


def test_the_bytes_are_the_ledgers_and_name_no_patient(books: Books, listener: Listener) -> None:
    replay(books.engine, backend(listener.port))
    entries = books.rows("SELECT entry FROM ledger_entry WHERE kind = 'run_event' ORDER BY index")
    for sent, (entry,) in zip(listener.raw, entries, strict=True):
        assert b'{"body":' + sent + b"," in bytes(entry)
        assert b"canary" not in sent
        assert books.keyring.pseudonym("patient", "canary").encode() not in sent


@pytest.mark.parametrize(
    ("script", "pauses"),
    [
        ([500, 503, 502], [1, 2, 4]),
        ([201, 429, 201, 408], [7, 1]),
        (["drop", "drop"], [1, 2]),
        ([404, 404], [1, 2]),
        ([400, 503, 401], [1, 2, 4]),
        (["take and drop"], [1]),
    ],
    ids=["5xx", "busy", "connection", "refused twice", "mixed", "lost answer"],
)
def test_a_backend_that_stumbles_is_told_everything_in_order(
    books: Books, listener: Listener, script: list[int | str], pauses: list[float]
) -> None:
    listener.script = list(script)
    waited = Pauses()
    assert replay(books.engine, backend(listener.port), pause=waited) == 10
    assert sorted(set(listener.runs)) == list(range(10))
    assert listener.runs == sorted(listener.runs)
    assert len(listener.runs) == 10 + script.count("take and drop")  # at least once
    assert waited.seconds == pauses


def test_a_backend_that_hangs_is_given_up_and_told_later(books: Books, listener: Listener) -> None:
    listener.script = [201, 201, "hang", "hang"]
    hasty = backend(listener.port, timeout_seconds=0.2)
    with pytest.raises(
        MirrorError, match=r"did not take entry 4 \(ReadTimeout\), 2 times; nothing"
    ):
        replay(books.engine, hasty, tries=2, pause=Pauses())
    assert replay(books.engine, hasty, pause=Pauses()) == 8
    assert listener.runs == list(range(10))


def test_a_backend_that_is_gone_and_comes_back_goes_on_where_it_was(books: Books) -> None:
    first = Listener()
    first.script = [201, 201, 201, "drop"]
    follower = backend(first.port)

    def gone() -> None:
        if not first.gone.is_set():
            first.stop()

    with pytest.raises(MirrorError, match=r"did not take entry 6 \(ConnectError\), 3 times"):
        replay(books.engine, follower, tries=3, pause=Pauses(gone))
    second = Listener(first.port)
    try:
        assert replay(books.engine, follower) == 7
    finally:
        second.stop()
    assert first.runs + second.runs == list(range(10))


@pytest.mark.parametrize("status", [400, 401, 301, 413])
def test_an_event_that_is_refused_again_and_again_stops_with_its_entry(
    books: Books, listener: Listener, status: int
) -> None:
    listener.script = [201, status, status, status]
    with pytest.raises(MirrorError, match=rf"refuses entry 2 \(status {status}\), 3 ti") as stopped:
        replay(books.engine, backend(listener.port), tries=None, pause=Pauses())
    assert "canary" not in str(stopped.value)  # neither its answer nor our token
    assert listener.runs == [0]
    assert replay(books.engine, backend(listener.port)) == 9


def test_a_follower_waits_for_as_long_as_it_takes_and_never_longer_than_a_minute(
    books: Books, listener: Listener
) -> None:
    listener.script = [503] * 9
    waited = Pauses()
    rounds = iter([True, False])
    follow(books.engine, backend(listener.port), wanted=lambda: next(rounds), pause=waited)
    assert waited.seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60, mirror.POLL_SECONDS]
    assert listener.runs == list(range(10))


def test_two_at_once_would_mix_up_the_order(books: Books, listener: Listener) -> None:
    to, other = backend(listener.port), backend(listener.port + 1)
    with mirror._alone(books.engine, to):
        with pytest.raises(MirrorError, match="another process tells this backend already"):
            replay(books.engine, to)
        with mirror._alone(books.engine, other):
            pass
    assert replay(books.engine, to) == 10


def test_while_a_backend_hangs_the_ledger_takes_entries(
    server: postgres.Postgres, listener: Listener, tmp_path: Path
) -> None:
    with ledger(server, tmp_path) as books:
        books.add(event(1))
        listener.script = [503]
        held: list[int] = []

        def meanwhile() -> None:
            books.add(event(2))
            held.extend(
                row[0]
                for row in books.rows(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state = 'idle in transaction'"
                )
            )

        to = backend(listener.port)
        assert replay(books.engine, to, pause=Pauses(meanwhile)) == 2
        assert listener.runs == [1, 2]
        assert held == [0]


def test_addresses_have_marks_of_their_own_and_do_not_show() -> None:
    one, two = Backend("https://a.example.org", TOKEN), Backend("https://b.example.org", TOKEN)
    assert one.endpoint != two.endpoint
    assert len(one.endpoint) == 64
    assert "a.example" not in repr(one)
    assert TOKEN not in repr(one)
