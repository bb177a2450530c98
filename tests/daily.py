"""The daily run without Airflow: the rooms in their order, on a practice made for the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID, uuid4

from databases import create_database, drop_database
from keyrings import set_key
from reengage import store
from reengage.campaigns import load_campaign
from reengage.embedded import postgres
from reengage.errors import ConfigurationError
from reengage.keys import ensure_keyring
from reengage.pipeline.approvals import unapproved
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.extract import Extracted, extract
from reengage.pipeline.gate import gate
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.preflight import preflight
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from reengage.practice import load_practice
from reengage.settings import HOME, Settings
from simulators.smtp import HostileRelay
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from world import NOW, World


@dataclass
class Practice:
    """A warehouse, a store, keys and a vendor; and what a test asks of them."""

    world: World
    settings: Settings

    @classmethod
    def create(
        cls, world: World, store_url: str, home: Path, tmp_path: Path, relay: HostileRelay
    ) -> Practice:
        keyring = tmp_path / "keyring"
        ensure_keyring(keyring)
        # The same draws in every test run: none of p0 to p14 is held out of health_education.
        set_key(keyring, b"\x01" * 32)
        settings = Settings(
            home=home,
            warehouse_url=world.url,
            store_url=store_url,
            keyring=keyring,
            relays={"embedded": relay.url},
            relay_trust=relay.certificates.ca,
            rehearsal_maildir=tmp_path / "rehearsal",
            pinned_now=NOW,
        )
        return cls(world, settings)

    def at(self, now: datetime) -> Practice:
        """The same practice at another instant."""
        return replace(self, settings=replace(self.settings, pinned_now=now))

    def open(
        self,
        campaign: str = "health_education",
        *,
        run_id: UUID | None = None,
        day: date | None = None,
        dry: bool = False,
    ) -> Run:
        """Preflight of a new run, or of `run_id` again; what it works by is approved."""
        approve_all(self.settings, campaign)
        return preflight(
            self.settings, campaign, run_id or uuid4(), "manual__test", day=day, dry=dry
        )

    def compose(self, run: Run) -> list[Chunk]:
        """From extraction to checked letters; gives the chunks that are left to send."""
        extract(run)
        gate(run)
        chunks = plan(run)
        for chunk in chunks:
            write_letters(run, chunk)
        for chunk in chunks:
            check_letters(run, chunk)
        return chunks

    def planned(self, run: Run) -> list[Chunk]:
        """From extraction to the plan; the gate is taken for green, as its suites take a while."""
        extract(run)
        with run.store.begin() as connection:
            connection.execute(
                text("UPDATE run SET gate = 'green' WHERE run_id = :r"), {"r": run.run_id}
            )
        return plan(run)

    def hurry(self, run: Run) -> list[Chunk]:
        """Like `compose`, but without any suite: all that they would look at passes."""
        chunks = self.planned(run)
        for chunk in chunks:
            write_letters(run, chunk)
        with run.store.begin() as connection:
            connection.execute(
                text("UPDATE letter SET checked_at = now() WHERE sender_run_id = :r"),
                {"r": run.run_id},
            )
        return chunks

    def play(self, campaign: str = "health_education", **options: object) -> Run:
        """A whole run, from preflight to shred."""
        run = self.open(campaign, **options)  # type: ignore[arg-type]
        for chunk in self.compose(run):
            send(run, chunk)
        settle(run)
        shred(run)
        return run

    def extracted(self, run: Run) -> Extracted:
        """The counts of an extraction."""
        return extract(run)

    def rows(self, statement: str, **parameters: object) -> list[dict[str, object]]:
        """What the store answers."""
        with _looking(self.settings.store_url).connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]

    def spoil(self, *statements: str) -> None:
        """Change the store as its owner could."""
        with _looking(self.settings.store_url).begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def states(self) -> dict[str, int]:
        """Letters by state, all runs."""
        found = self.rows("SELECT state, count(*) AS n FROM letter GROUP BY state")
        return {str(row["state"]): int(str(row["n"])) for row in found}

    def reasons(self, run: Run) -> dict[str, list[str]]:
        """Reasons of the run's decisions, by the patient's key in the warehouse."""
        found = self.rows("SELECT patient, reasons FROM decision WHERE run_id = :r", r=run.run_id)
        with self.world.engine.connect() as connection:
            keys = connection.execute(text("SELECT patient_key FROM contract.patient")).scalars()
            names = {run.pseudonym(key): key for key in keys}
        return {names[str(row["patient"])]: list(row["reasons"]) for row in found}  # type: ignore[call-overload]


@lru_cache(maxsize=16)
def _looking(url: str) -> Engine:
    """The tests' own: what is looked at does not look at itself."""
    return create_engine(url, poolclass=NullPool)


def approve_all(settings: Settings, campaign: str) -> None:
    """Approve the campaign's files as they are; where they do not load, leave them alone."""
    with suppress(ConfigurationError, OSError):
        has_portal = load_practice(settings.home / "practice.yaml").portal is not None
        campaigns = [load_campaign(settings.home, campaign)]
        with store.connect(settings.store_url).begin() as connection:
            found = unapproved(connection, settings.home, campaigns, portal=has_portal)
            connection.execute(
                text(
                    "INSERT INTO approval (subject, sha256, decision, decided_by, reason)"
                    " SELECT name, sha256, 'approved', 'tests', 'for the test'"
                    " FROM unnest(CAST(:names AS text[]), CAST(:digests AS text[]))"
                    " AS one (name, sha256)"
                ),
                {
                    "names": [one.name for one in found],
                    "digests": [one.sha256 for one in found],
                },
            )


@contextmanager
def dry_practice(server: postgres.Postgres, directory: Path) -> Iterator[Practice]:
    """A practice for many tests of a module: no relay, dry runs only, which know of no other."""
    urls = [create_database(server, template) for template in ("template1", "store")]
    ensure_keyring(directory / "keyring")
    with World.create(urls[0]) as world:
        settings = Settings(
            home=HOME,
            warehouse_url=world.url,
            store_url=urls[1],
            keyring=directory / "keyring",
            relays={},
            pinned_now=NOW,
        )
        yield Practice(world, settings)
    for url in urls:
        drop_database(server, url)
