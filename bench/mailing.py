"""A day's mailing for the benchmark of sending: a practice, its letters, and workers that do it.

The rooms in their order, as Airflow maps them: `workers` processes, each with its share of the
chunks. Airflow starts them from a server that has imported everything; so do these.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from shutil import copytree
from time import perf_counter, process_time, sleep
from typing import Any, Literal
from uuid import UUID, uuid4

import psutil
from reengage import store
from reengage.embedded import installation, postgres
from reengage.embedded.home import copy_home
from reengage.errors import StoreError
from reengage.keys import ensure_keyring, open_keyring
from reengage.pipeline import restored
from reengage.pipeline.extract import extract
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.preflight import preflight
from reengage.pipeline.run import resume
from reengage.pipeline.send import send
from reengage.settings import HOME, Settings
from sqlalchemy import create_engine, make_url, text
from warehouse import DAY, make_contract, noon

CAMPAIGN = "appointment_reminder"
SQL = Path(__file__).parent / "sql" / "readers.sql"
EARLY_LETTERS = 5_000
LONGEST_RETRY_SECONDS = 6
"""Before a first retry of `send` Airflow waits once to twice the 3 s of dags/reengagement.py."""
Room = Literal["write_letters", "send"]
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["great_expectations", __name__])
"""Not from this process: it has planned the mailing, and its memory would be each worker's."""


@dataclass(frozen=True)
class Worked:
    """What workers needed for all chunks."""

    seconds: float
    processor_seconds: float
    """Of the workers."""
    server_seconds: float
    """Processor time of PostgreSQL meanwhile."""
    megabytes_early: float
    """Most memory of a worker until the first 5,000 letters had gone."""
    megabytes: float
    """Most memory of a worker at its end."""
    killed: int


@dataclass(frozen=True)
class Mailing:
    """One run in a store of its own."""

    server: postgres.Postgres
    postmaster: int
    settings: Settings
    run_id: UUID
    chunks: Sequence[Chunk]

    @property
    def database(self) -> str:
        """Its store's name."""
        return str(make_url(self.settings.store_url).database)

    def copy(self, port: int) -> Mailing:
        """The same in a store and keyring of its own, to be sent to another port."""
        name = f"store_{uuid4().hex[:12]}"
        _administer(self.server, f"CREATE DATABASE {name} TEMPLATE {self.database}")
        self._move_in(name)
        keyring = self.settings.keyring.with_name(name)
        copytree(self.settings.keyring, keyring)
        settings = replace(
            self.settings,
            store_url=self.server.url(name),
            keyring=keyring,
            relays={"embedded": f"smtps://localhost:{port}"},
        )
        return replace(self, settings=settings)

    def _move_in(self, name: str) -> None:
        """The copy is no restored store: it sends."""
        engine = create_engine(self.server.url(name))
        with engine.begin() as connection:
            restored.move_in(connection)
        engine.dispose()

    def drop(self) -> None:
        """Give its room on the disk back."""
        _administer(self.server, f"DROP DATABASE {self.database} WITH (FORCE)")

    def _server_seconds(self) -> float:
        """Processor time of the server, sessions that have ended included."""
        postmaster = psutil.Process(self.postmaster)
        seconds = postmaster.cpu_times()
        total = seconds.user + seconds.system + seconds.children_user + seconds.children_system
        for one in postmaster.children():
            with suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:2])
        return float(total)

    def states(self) -> dict[str, int]:
        """Letters by state."""
        engine = create_engine(self.settings.store_url)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT state, count(*) AS n FROM letter GROUP BY 1"))
            states = {row.state: row.n for row in found}
        engine.dispose()
        return states

    def sizes(self) -> tuple[bytes, float]:
        """A letter of the mailing as it leaves, and the average length of all."""
        from reengage.pipeline import outbox

        run = resume(self.settings, CAMPAIGN, self.run_id)
        with run.store.connect() as connection:
            found = outbox.open_letters(connection, run, 0)
        run.store.dispose()
        octets = [len(one.letter.message) for one in found]
        return found[0].letter.message, sum(octets) / len(octets)

    def pass_checks(self) -> None:
        """Mark all letters as checked: what the suite looks at is no part of this measurement."""
        engine = create_engine(self.settings.store_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("UPDATE letter SET checked_at = now()"))
            connection.execute(text("VACUUM ANALYZE letter"))
            connection.execute(text("CHECKPOINT"))
        engine.dispose()

    def work(
        self,
        room: Room,
        workers: int,
        *,
        progress: Callable[[], int] = lambda: 0,
        kill_at: int | None = None,
    ) -> Worked:
        """All chunks through a room. At `kill_at` letters of `progress` one worker is killed."""
        shares = [list(self.chunks[number::workers]) for number in range(workers)]
        early, killed = 0.0, 0
        begun, before = perf_counter(), self._server_seconds()
        crew = [_Worker(self, room, share) for share in shares if share]
        while any(worker.is_at_work() for worker in crew):
            alive = [worker.process.sentinel for worker in crew if worker.process.is_alive()]
            wait(alive, 0.05) if alive else sleep(0.05)
            done = progress()
            if not early and done >= EARLY_LETTERS:
                early = max(worker.megabytes_now() for worker in crew)
            if kill_at is not None and not killed and done >= kill_at:
                crew[0].kill()
                killed = 1
            for worker in crew:
                worker.retry_if_killed()
        seconds = perf_counter() - begun
        return Worked(
            seconds,
            sum(worker.processor_seconds for worker in crew),
            self._server_seconds() - before,
            early or max(worker.megabytes for worker in crew),
            max(worker.megabytes for worker in crew),
            killed,
        )


class _Worker:
    """A process with its share of the chunks, and its retry when it is killed."""

    def __init__(self, mailing: Mailing, room: Room, share: list[Chunk]) -> None:
        self._mailing, self._room, self._share = mailing, room, share
        self.megabytes = self.processor_seconds = 0.0
        self._done, self._died_at = 0, 0.0
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe(duplex=False)
        arguments = (self._mailing, self._room, self._share[self._done :], theirs)
        self.process: BaseProcess = _CONTEXT.Process(target=_work, args=arguments)
        self.process.start()
        theirs.close()

    def is_at_work(self) -> bool:
        self._listen()
        return self.process.is_alive() or self._done < len(self._share)

    def kill(self) -> None:
        os.kill(self.process.pid or 0, signal.SIGKILL)

    def megabytes_now(self) -> float:
        """Most memory it ever had, or 0 where it has ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0.0
        most = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(most[0].split()[1]) * 1024 / 1e6 if most else 0.0

    def retry_if_killed(self) -> None:
        """As Airflow does, after the longest that it waits before a first retry of `send`."""
        if self.process.is_alive():
            return
        self._died_at = self._died_at or perf_counter()
        self.process.join()
        self._listen()
        if self.process.exitcode not in (0, -signal.SIGKILL):
            sys.exit(f"a worker of {self._room} failed")
        late = perf_counter() - self._died_at >= LONGEST_RETRY_SECONDS
        if self._done < len(self._share) and late:
            self._start()

    def _listen(self) -> None:
        while not self._pipe.closed and self._pipe.poll():
            try:
                megabytes, seconds = self._pipe.recv()
            except EOFError:
                self._pipe.close()
                return
            self.megabytes = max(self.megabytes, megabytes)
            self.processor_seconds += seconds
            self._done += 1


def _work(mailing: Mailing, room: Room, share: list[Chunk], tell: Connection) -> None:
    used = process_time()
    for chunk in share:
        run = resume(mailing.settings, CAMPAIGN, mailing.run_id)
        if room == "send":
            _patiently(run, chunk)
        else:
            write_letters(run, chunk)
        run.store.dispose()
        run.warehouse.dispose()
        used, before = process_time(), used
        tell.send((_peak_megabytes(), used - before))


def _patiently(run: Any, chunk: Chunk) -> dict[str, int]:
    """The server takes a moment to notice that the worker before was killed."""
    for _ in range(200):
        try:
            return send(run, chunk)
        except StoreError:
            sleep(0.01)
    return send(run, chunk)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def planned(base: Path, letters: int, trust: Path, port: int) -> Iterator[Mailing]:
    """A practice with so many letters to write, in a server as the embedded default sets it."""
    home = copy_home(HOME, base / "home")
    campaign = home / "campaigns" / f"{CAMPAIGN}.yaml"
    words = campaign.read_text(encoding="utf-8")
    campaign.write_text(words.replace("letters_per_run: 5000", f"letters_per_run: {letters}"))
    with postgres.running(base / "pg") as server:
        for name in ("readers", "first_store"):
            _administer(server, f"CREATE DATABASE {name}")
        _fill(server.url("readers"), letters)
        store.migrate(store.connect(server.url("first_store")), home)
        ensure_keyring(base / "keys" / "first_store")
        settings = Settings(
            home=home,
            warehouse_url=server.url("readers"),
            store_url=server.url("first_store"),
            keyring=base / "keys" / "first_store",
            relays={"embedded": f"smtps://localhost:{port}"},
            relay_trust=trust,
            pinned_now=noon(DAY),
        )
        keyring = open_keyring(settings.keyring)
        installation.approve(store.connect(settings.store_url), home, keyring)
        run = preflight(settings, CAMPAIGN, uuid4(), "bench")
        extract(run)
        with run.store.begin() as connection:
            connection.execute(text("UPDATE run SET gate = 'green'"))
        chunks = plan(run)
        run.store.dispose()
        run.warehouse.dispose()
        pid = (base / "pg" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0]
        _have_imported()
        yield Mailing(server, int(pid), settings, run.run_id, chunks)


def _have_imported() -> None:
    """The workers' server makes its imports at its first worker; nothing is timed meanwhile."""
    first = _CONTEXT.Process(target=int)
    first.start()
    first.join()


def _fill(url: str, patients: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        make_contract(connection)
        for statement in SQL.read_text(encoding="utf-8").split(";\n"):
            connection.execute(text(statement), {"patients": patients, "noon": noon(DAY)})
        for name in ("patient", "contact", "visit", "appointment", '"authorization"', "medication"):
            connection.execute(text(f"CREATE INDEX ON contract.{name} (patient_key)"))
        connection.execute(text("CREATE INDEX ON contract.appointment (appointment_key)"))
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _administer(server: postgres.Postgres, statement: str) -> None:
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
