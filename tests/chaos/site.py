"""Where chaos happens: a PostgreSQL of its own that may be crashed, and letters that are ready.

What the suites say of letters is tested elsewhere: here they are taken for checked. Each round has
a copy of the store.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import psutil
from daily import Practice
from ready import move_in
from reengage import staging, store
from reengage.embedded import postgres
from reengage.embedded.home import copy_home
from reengage.embedded.postgres import Postgres
from reengage.embedded.processes import wait_until
from reengage.pipeline.plan import Chunk
from reengage.settings import HOME
from sealed import House
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from world import World

from chaos.plan import Plan
from chaos.worker import warm_up

LETTERS = 32
OF_A_CHUNK = 8
CAMPAIGNS = {"tls": "appointment_reminder", "portal": "medication_reminder"}
"""How its letters are sealed -> a campaign that holds nobody out."""
WARY = "breaker: {of: 6, refused: 0.2, errors: 0.3}\n"
"""In a campaign's file: two of its last six letters are enough for a pause."""
_CRASH_SIGNALS = {"restart": signal.SIGINT, "crash": signal.SIGQUIT}
# Long enough that what was committed without waiting for the disk is lost in a crash.
_CONFIGURATION = "wal_writer_delay = 10s\nwal_writer_flush_after = 0\nfsync = off\n"


@dataclass(frozen=True)
class Ready:
    """A live run whose letters are checked, and one that is planned only."""

    practice: Practice
    campaign: str
    run_id: UUID
    chunks: list[Chunk]
    template: str
    wary_home: Path
    """The same project, but for a campaign that pauses itself early."""


@dataclass
class Site:
    """The server, and what each round begins with."""

    directory: Path
    server: Postgres
    ready: dict[str, Ready] = field(default_factory=dict)
    copies: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def copy(self, plan: Plan, directory: Path) -> Iterator[Practice]:
        """The practice with a store and keys of its own, while the block runs."""
        ready = self.ready[plan.kind]
        self.copies += 1
        name = f"round{self.copies}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {ready.template} STRATEGY file_copy")
        move_in(self.server.url(name))
        shutil.copytree(ready.practice.settings.keyring, directory / "keys")
        settings = ready.practice.settings
        settings = replace(
            settings,
            home=ready.wary_home if plan.wary else settings.home,
            store_url=self.server.url(name),
            keyring=directory / "keys",
            vendors_file=_paced(settings.vendors_path, plan.rate, directory / "vendors.yaml"),
        )
        yield replace(ready.practice, settings=settings)
        self.admin(f"DROP DATABASE {name} WITH (FORCE)")

    def admin(self, statement: str, **parameters: object) -> list[object]:
        """Do something to the server as its owner; gives the first column."""
        engine = create_engine(
            self.server.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        with engine.connect() as connection:
            found = connection.execute(text(statement), parameters)
            return list(found.scalars()) if found.returns_rows else []

    def cut(self, pid: int) -> bool:
        """End the sessions that a process has in the store; whether there was one."""
        try:
            return bool(
                self.admin(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = :name",
                    name=f"reengage {pid}",
                )
            )
        except DBAPIError:  # the server is being disturbed: every session ends, theirs and this
            return True

    def disturb(self, how: str, pid: int) -> None:
        """Restart the server (`restart`), crash it (`crash`), or kill the process of its that
        serves `pid` (`backend`), after which it recovers as from a crash. Returns when it is up."""
        with self.lock:
            if how in _CRASH_SIGNALS:
                server = postgres._postmaster(self.directory)
                assert server is not None
                server.send_signal(_CRASH_SIGNALS[how])
                psutil.wait_procs([server], timeout=60)
                postgres._ensure_running(self.directory)
                return
            self._kill_backend(pid)

    def _kill_backend(self, pid: int) -> None:
        victims = self.admin(
            "SELECT pid FROM pg_stat_activity WHERE application_name = :name",
            name=f"reengage {pid}",
        )
        engine = create_engine(self.server.url("postgres"), poolclass=NullPool)
        with engine.connect() as witness, suppress(DBAPIError):
            witness.execute(text("SELECT 1"))
            for victim in victims:
                with suppress(ProcessLookupError):  # its session has just ended
                    os.kill(int(str(victim)), signal.SIGKILL)
            if victims:  # the server ends every session before it recovers
                witness.execute(text("SELECT pg_sleep(5)"))
        wait_until(self._answers, seconds=60, what="the server's recovery", every=0.02)

    def _answers(self) -> bool:
        try:
            return bool(self.admin("SELECT 1"))
        except DBAPIError:
            return False


@contextmanager
def prepared(base: Path) -> Iterator[Site]:
    """A server, and letters of both kinds, composed and taken for checked."""
    warm_up()
    directory = (base / "pg" / "data").resolve()
    with postgres.running(directory) as first:
        assert first is not None
        store.migrate(store.connect(first.url("store")), HOME)
    (directory / "postgresql.conf").open("a").write(_CONFIGURATION)
    with postgres.running(directory) as server:
        site = Site(directory, server)
        for kind, campaign in CAMPAIGNS.items():
            _compose(site, base / kind, kind, campaign)
        yield site


def _compose(site: Site, base: Path, kind: str, campaign: str) -> None:
    for name in (f"world_{kind}", f"ready_{kind} TEMPLATE store"):
        site.admin(f"CREATE DATABASE {name}")
    home = copy_home(HOME, base / "home")
    with (
        World.create(site.server.url(f"world_{kind}")) as world,
        HostileRelay(good(base / "certificates")) as relay,
    ):
        for number in range(LETTERS):
            world.patient(f"p{number}")
        world.execute("ANALYZE")  # else the planner takes its tables for large ones, for a minute
        practice = Practice.create(world, site.server.url(f"ready_{kind}"), home, base, relay)
        if kind == "portal":
            House(practice, None, home).with_portal().without_guarantee()  # type: ignore[arg-type]
        run = practice.open(campaign)
        with patch.object(staging, "PART_PATIENTS", OF_A_CHUNK):
            chunks = practice.hurry(run)
        assert len(chunks) == LETTERS // OF_A_CHUNK
    wary = copy_home(home, base / "wary")
    with (wary / "campaigns" / f"{campaign}.yaml").open("a", encoding="utf-8") as file:
        file.write(WARY)
    site.ready[kind] = Ready(practice, campaign, run.run_id, chunks, f"ready_{kind}", wary)


def _paced(registry: Path, rate: Mapping[str, float], at: Path) -> Path:
    """The registry of vendors with what this relay takes."""
    vendor = "  - name: embedded\n"
    before, found, after = registry.read_text(encoding="utf-8").partition(vendor)
    assert found
    at.write_text(f"{before}{vendor}    rate: {json.dumps(dict(rate))}\n{after}", encoding="utf-8")
    return at
