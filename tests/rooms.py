"""A room of the pipeline in a process of its own, to be killed; and a store that halts it.

rooms = Rooms(settings)
process = rooms.start("send", run, chunk)          # what an Airflow worker does for a task
process.kill()                                     # SIGKILL; returns when it is gone

with halted(store_url, "attempted", "commit", 3) as halt:   # at the third letter
    process = rooms.start("send", run, chunk)
    halt.wait_until_reached(); process.kill(); halt.lift()

A halt is made in the database itself: a trigger waits for a lock that the test holds. At
`statement` the change is not made yet; at `commit` it is, and the process does not know it yet.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any
from uuid import UUID

from reengage.embedded.processes import wait_until
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run, resume
from reengage.settings import Settings, read_settings
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

SECONDS = 30
_ROOMS = {
    "letter": ("reengage.pipeline.letter", "write_letters"),
    "check_letters": ("reengage.pipeline.check_letters", "check_letters"),
    "send": ("reengage.pipeline.send", "send"),
}
_LOCK = 4711
_CONTEXT = multiprocessing.get_context("forkserver")


def warm_up() -> None:
    """Have the imports of every task made once, in another process, while this one goes on."""
    _CONTEXT.set_forkserver_preload(
        ["great_expectations", *(module for module, _ in _ROOMS.values())]
    )
    forkserver.ensure_running()


@dataclass
class RoomProcess:
    """A task at work. It may be killed from any thread, also while it is being started."""

    process: Any
    started: threading.Event = field(default_factory=threading.Event)

    def kill(self) -> None:
        assert self.started.wait(SECONDS)
        os.kill(self.process.pid, signal.SIGKILL)
        assert wait([self.process.sentinel], SECONDS)

    def ask_to_stop(self) -> None:
        """SIGTERM, as Airflow ends a task; it need not be gone when this returns."""
        assert self.started.wait(SECONDS)
        os.kill(self.process.pid, signal.SIGTERM)

    def join(self) -> int | None:
        """Its exit code: 0, or minus the signal that ended it."""
        self.process.join(SECONDS)
        code: int | None = self.process.exitcode
        return code


@dataclass
class Rooms:
    """Starts rooms as Airflow does: they know the environment and the run's id."""

    settings: Settings

    def prepare(self, room: str, run: Run, chunk: Chunk) -> RoomProcess:
        """Made and not yet at work, so that a callback can know it."""
        arguments = (environment(self.settings), room, run.campaign.slug, run.run_id, chunk)
        return RoomProcess(_CONTEXT.Process(target=_work, args=arguments, daemon=True))

    def start(self, room: str, run: Run, chunk: Chunk) -> RoomProcess:
        made = self.prepare(room, run, chunk)
        begin(made)
        return made


def begin(made: RoomProcess) -> None:
    made.process.start()
    made.started.set()


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give these settings."""
    values = {
        "HOME": settings.home,
        "WAREHOUSE_URL": settings.warehouse_url,
        "STORE_URL": settings.store_url,
        "KEYRING": settings.keyring,
        "RELAY_TRUST": settings.relay_trust,
        "REHEARSAL_MAILDIR": settings.rehearsal_maildir,
        "VENDORS_FILE": settings.vendors_file,
        "JOURNAL": settings.journal,
        "PINNED_NOW": settings.pinned_now and settings.pinned_now.isoformat(),
        **{f"RELAY_URL_{name.upper()}": url for name, url in settings.relays.items()},
    }
    return {f"REENGAGE_{name}": str(value) for name, value in values.items() if value}


def _work(variables: dict[str, str], room: str, slug: str, run_id: UUID, chunk: Chunk) -> None:
    module, name = _ROOMS[room]
    os.environ.update(variables)
    getattr(importlib.import_module(module), name)(resume(read_settings(), slug, run_id), chunk)


@dataclass
class Halt:
    """A store in which the next process that comes to the place stops."""

    _connection: Connection
    _database: str

    def wait_until_reached(self) -> None:
        wait_until(
            lambda: self._count("wait_event_type = 'Lock'") > 0,
            seconds=SECONDS,
            what="the halt",
            every=0.005,
        )

    def lift(self) -> None:
        """Let it go on; returns when no other session is left, so that nothing goes on later."""
        self._connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        wait_until(
            lambda: self._count("TRUE") == 0, seconds=SECONDS, what="the end of it", every=0.005
        )

    def _count(self, condition: str) -> int:
        found = self._connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = :database"
                f" AND pid <> pg_backend_pid() AND {condition}"
            ),
            {"database": self._database},
        )
        return int(found.scalar_one())


@contextmanager
def halted(store_url: str, reached: str, moment: str, nth: int = 1) -> Iterator[Halt]:
    """Stop the process with which the nth letter is composed, checked, claimed, and so on."""
    engine = create_engine(store_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(_function(reached, nth)))
        connection.execute(text(_TRIGGERS[moment]))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        yield Halt(connection, str(engine.url.database))
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
        connection.execute(text("DROP FUNCTION halt CASCADE"))


_REACHED = {
    "composed": "TRUE",
    "checked": "{row}.checked_at IS NOT NULL",
    "claimed": "{row}.claimed_at IS NOT NULL",
    "attempted": "{row}.attempted_at IS NOT NULL",
    "answered": "{row}.outcome IS NOT NULL",
    "settled": "{row}.settled_at IS NOT NULL",
}


def _function(reached: str, nth: int) -> str:
    new, other = (_REACHED[reached].format(row=row) for row in ("NEW", "l"))
    others = (
        f"SELECT count(*) FROM letter l WHERE {other} AND l.letter_id <> NEW.letter_id"
        " AND l.sender_run_id = NEW.sender_run_id"
    )
    return f"""
        CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {new} AND ({others}) >= {nth - 1} THEN
                PERFORM pg_advisory_xact_lock_shared({_LOCK});
            END IF;
            RETURN NEW;
        END $$"""


_TRIGGERS = {
    "statement": "CREATE TRIGGER halt BEFORE INSERT OR UPDATE ON letter"
    " FOR EACH ROW EXECUTE FUNCTION halt()",
    "commit": "CREATE CONSTRAINT TRIGGER halt AFTER INSERT OR UPDATE ON letter"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION halt()",
}
