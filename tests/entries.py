"""A ledger to order: a store, keys, and records as the tasks make them.

with ledger(server, tmp_path) as books:
    books.add(event(1, "START"), disclosure(books.keyring, "p1"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from databases import create_database, drop_database
from reengage.embedded import postgres
from reengage.keys import Keyring, ensure_keyring
from reengage.ledger.append import append
from reengage.ledger.checkpoint import Checkpoint, VerifierKey
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.ledger.records import Disclosure, Record, run_event
from reengage.ledger.signers import verifiers
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from world import DAY

PRODUCER = "https://reengage.example.org/producer"


@dataclass(frozen=True)
class Books:
    """A store whose ledger is the test's own."""

    url: str
    engine: Engine
    keyring: Keyring

    def add(self, *records: Record) -> range:
        """Append in one transaction; gives the indices."""
        with self.engine.begin() as connection:
            return append(connection, self.keyring, records)

    def sign(self) -> Checkpoint | None:
        """Sign a checkpoint over what there is."""
        with self.engine.begin() as connection:
            return sign_checkpoint(connection, self.keyring, self.checkpoints)

    @property
    def checkpoints(self) -> Checkpoints:
        """Where the checkpoints lie."""
        return Checkpoints(str(self.keyring.directory / "checkpoints"))

    @property
    def keys(self) -> list[VerifierKey]:
        """The keys that verify them."""
        return verifiers(self.keyring.directory)

    @property
    def bytes(self) -> list[bytes]:
        """The entries."""
        return [bytes(row[0]) for row in self.rows("SELECT entry FROM ledger_entry ORDER BY index")]

    def rows(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """What the store answers."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def spoil(self, statement: str, **parameters: object) -> None:
        """Change what may not be changed, as a superuser can."""
        with self.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statement), parameters)


@contextmanager
def ledger(server: postgres.Postgres, directory: Path) -> Iterator[Books]:
    """An empty ledger with keys of its own."""
    url = create_database(server, "store")
    engine = create_engine(url, poolclass=NullPool)
    yield Books(url, engine, ensure_keyring(directory / "keyring"))
    engine.dispose()
    drop_database(server, url)


def event(number: int, kind: str = "START") -> Record:
    """A run event; its run is known by its number."""
    return run_event({
        "eventType": kind, "eventTime": "2025-06-02T17:00:00.000000Z",
        "run": {"runId": str(UUID(int=number)), "facets": {}},
        "job": {"namespace": "reengage", "name": "health_education.extract", "facets": {}},
        "inputs": [], "outputs": [], "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    })  # fmt: skip


def disclosure(
    keyring: Keyring,
    patient: str,
    *,
    address: str | None = None,
    letter: UUID | None = None,
    campaign: str = "health_education",
    day: date = DAY,
    purpose: str = "education",
    fields: Sequence[str] = ("patient.given_name",),
    authorization: str | None = "0" * 32,
    outcome: str = "sent",
    reason: str | None = None,
) -> Record:
    """What became of a letter to a patient, at the address that tests give everybody."""
    to = keyring.pseudonym("recipient", (address or f"{patient}@example.org").casefold())
    return Disclosure(
        letter=letter or uuid4(),
        run=UUID(int=1),
        campaign=campaign,
        campaign_date=day,
        patient=keyring.pseudonym("patient", patient),
        recipient=to,
        pseudonym_key=keyring.pseudonym_key_name,
        purpose=purpose,
        fields=list(fields),
        authorization=authorization,
        template_sha256="a" * 64,
        suite_sha256="b" * 64,
        vendor="embedded",
        baa_id="SAMPLE-0001",
        message_id="<1@prairie.example.org>",
        seal="tls",
        seal_basis="contract",
        outcome=outcome,
        reason=reason,
        transport=None,
    ).record()
