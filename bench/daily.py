"""What the benchmarks of single tasks share: a practice with a generated warehouse, its days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

from reengage import store
from reengage.embedded import installation, postgres
from reengage.embedded.relay import RelayProcess
from reengage.keys import ensure_keyring, open_keyring
from reengage.pipeline.preflight import preflight
from reengage.settings import HOME, Settings
from sqlalchemy import create_engine, text
from warehouse import Warehouse, noon, server

TASK = Path(__file__).parent / "task.py"


@dataclass(frozen=True)
class Measured:
    """One task's end: see task.py."""

    seconds: float
    megabytes: float
    imported_megabytes: float
    counts: dict[str, Any]


@dataclass(frozen=True)
class Site:
    """A server and a relay; stores are made per measurement, each as good as new.

    A store has keys and a journal of refusals of its own: with another's journal preflight would
    remember what a first extraction is measured to remember.
    """

    postgres: postgres.Postgres
    relay: RelayProcess = field(repr=False)
    keyrings: Path

    def new_store(self, template: str | None = None) -> str:
        """Name of an empty store, or of a copy of another one."""
        name = f"store_{uuid4().hex[:12]}"
        self._administer(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        if template:
            copytree(self.keyrings / template, self.keyrings / name)
        else:
            store.migrate(store.connect(self.postgres.url(name)), HOME)
            ensure_keyring(self.keyrings / name)
        return name

    def drop(self, database: str) -> None:
        """Give its room back."""
        self._administer(f"DROP DATABASE {database} WITH (FORCE)")
        rmtree(self.keyrings / database)

    def open(self, warehouse: Warehouse, database: str, campaign: str, day: date) -> UUID:
        """Preflight of a live run of `day`."""
        run_id = uuid4()
        settings = self.settings(warehouse, database, day)
        installation.approve(
            store.connect(settings.store_url), HOME, open_keyring(settings.keyring)
        )
        preflight(settings, campaign, run_id, "bench")
        return run_id

    def task(
        self, name: str, run_id: UUID, warehouse: Warehouse, database: str, campaign: str, day: date
    ) -> Measured:
        """Run a task in a process of its own. Ends the benchmark with its words where it fails."""
        settings = self.settings(warehouse, database, day)
        ours = {
            "WAREHOUSE_URL": settings.warehouse_url,
            "STORE_URL": settings.store_url,
            "KEYRING": str(settings.keyring),
            "PINNED_NOW": noon(day).isoformat(),
        }
        found = subprocess.run(
            [sys.executable, str(TASK), name, campaign, str(run_id)],
            env=os.environ | {f"REENGAGE_{key}": value for key, value in ours.items()},
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            sys.exit(f"{name} of {campaign} failed:\n{found.stderr[-2000:]}")
        return Measured(**json.loads(found.stdout.splitlines()[-1]))

    def settings(self, warehouse: Warehouse, database: str, day: date) -> Settings:
        """Settings of the practice at noon of `day`."""
        return Settings(
            home=HOME,
            warehouse_url=warehouse.url,
            store_url=self.postgres.url(database),
            keyring=self.keyrings / database,
            relays={"embedded": self.relay.url},
            relay_trust=self.relay.ca,
            pinned_now=noon(day),
        )

    def _administer(self, statement: str) -> None:
        engine = create_engine(self.postgres.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def site() -> Iterator[Site]:
    """Everything up in a directory that goes with it."""
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        with (
            server(base / "pg") as running,
            RelayProcess(base / "mail", base / "certificates", base / "relay.log") as relay,
        ):
            yield Site(running, relay, base / "keyrings")
