"""The daily run without Airflow: the rooms in their order, on a practice made for the test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from uuid import UUID, uuid4

from reengage.keys import ensure_keyring
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.extract import Extracted, extract
from reengage.pipeline.gate import gate
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import Chunk, plan
from reengage.pipeline.preflight import preflight
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from reengage.settings import Settings
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, text
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
        """Preflight of a new run, or of `run_id` again."""
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
        engine = create_engine(self.settings.store_url)
        try:
            with engine.connect() as connection:
                return [
                    dict(row) for row in connection.execute(text(statement), parameters).mappings()
                ]
        finally:
            engine.dispose()

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
