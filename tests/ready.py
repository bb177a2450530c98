"""A practice whose letters are composed and checked, copied for each test that sends them.

Composing takes Great Expectations and a second; a copy of the two databases takes a tenth of one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email import message_from_bytes
from pathlib import Path
from uuid import UUID

import rooms
from daily import Practice
from databases import create_database
from reengage.embedded.certificates import Certificates
from reengage.embedded.postgres import Postgres
from reengage.pipeline import restored
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.run import Run, resume
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, text
from world import World

LETTERS = 5
CHUNK = Chunk(number=0, first=0, last=0)
CAMPAIGN = "appointment_reminder"  # it holds nobody out


@dataclass
class Ready:
    """Patients p0 to p4; a live and a dry run with all letters checked, a dry one just planned."""

    practice: Practice
    certificates: Certificates
    live: UUID
    dry: UUID
    planned: UUID

    def copy(self, store_url: str, url: str, trust: Path, directory: Path) -> Practice:
        """The practice with this copy of its store, own keys and rehearsal, a relay at `url`."""
        shutil.copytree(self.practice.settings.keyring, directory / "keys")
        move_in(store_url)
        settings = replace(
            self.practice.settings,
            store_url=store_url,
            relays={"embedded": url},
            relay_trust=trust,
            keyring=directory / "keys",
            rehearsal_maildir=directory / "rehearsal",
        )
        return replace(self.practice, settings=settings)


@contextmanager
def composed(server: Postgres, base: Path) -> Iterator[Ready]:
    rooms.warm_up()
    create_database(server, name="ready_world")
    create_database(server, "store", "ready_store")
    with (
        World.create(server.url("ready_world")) as world,
        HostileRelay(good(base / "certificates")) as relay,
    ):
        for number in range(LETTERS):
            world.patient(f"p{number}")
        practice = Practice.create(world, server.url("ready_store"), HOME, base, relay)
        live, dry, planned = (practice.open(CAMPAIGN, dry=dry) for dry in (False, True, True))
        for run in (live, dry):
            assert practice.compose(run) == [CHUNK]
        extract(planned)
        gate(planned)
        plan(planned)
        world.engine.dispose()
        _end_sessions(server, "ready_world")
        create_database(server, "ready_world", "ready_untouched")
        yield Ready(practice, relay.certificates, live.run_id, dry.run_id, planned.run_id)


def move_in(url: str) -> None:
    """A copy of a store is no restored one, for a test that is not about that."""
    engine = create_engine(url)
    with engine.begin() as connection:
        restored.move_in(connection)
    engine.dispose()


def run_of(practice: Practice, run_id: UUID) -> Run:
    """The run as the next task has it."""
    return resume(practice.settings, CAMPAIGN, run_id)


def taken(relay: HostileRelay) -> list[str]:
    """Message-IDs of the letters that the relay took."""
    return [message_from_bytes(letter.content)["Message-ID"] for letter in relay.letters]


def states(practice: Practice, run: Run) -> list[tuple[str, str | None]]:
    """State and reason of each letter, in the order in which they are sent."""
    found = practice.rows(
        "SELECT state, reason FROM letter WHERE sender_run_id = :r AND rehearsal IS NULL"
        " ORDER BY letter_id",
        r=run.run_id,
    )
    return [(str(row["state"]), row["reason"]) for row in found]  # type: ignore[misc]


def reasons(practice: Practice, run: Run) -> dict[str, str]:
    """State, or reason where there is one, by the patient's key."""
    found = practice.rows(
        "SELECT patient, coalesce(reason, state) AS what FROM letter"
        " WHERE sender_run_id = :r AND rehearsal IS NULL",
        r=run.run_id,
    )
    names = {run.pseudonym(f"p{number}"): f"p{number}" for number in range(20)}
    return {names[str(row["patient"])]: str(row["what"]) for row in found}


def opt_out(run: Run, key: str) -> None:
    """Record an opt-out in the practice's own store."""
    with run.store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO opt_out (patient, campaign, channel) VALUES (:p, NULL, 'mailto')"
                " ON CONFLICT DO NOTHING"
            ),
            {"p": run.pseudonym(key)},
        )


def _end_sessions(server: Postgres, database: str) -> None:
    """Great Expectations keeps its own open, and a database that is in use is not copied."""
    engine = create_engine(server.url("postgres"))
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": database},
        )
    engine.dispose()
