"""Ledgers of the tests: what a practice leaves in a day or two, and hands to change it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from reengage import store
from reengage.keys import Keyring, ensure_keyring
from reengage.ledger import records
from reengage.ledger.append import append
from reengage.ledger.checkpoint import VerifierKey
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.ledger.records import Disclosure, Record
from reengage.ledger.signers import verifiers
from reengage.ledger.verify import Verdict, verify
from second_verifier import verify as verify_again
from sqlalchemy import Connection, Engine, text

COLUMNS = "index, kind, subject, leaf, entry"
DAY = date(2025, 6, 2)
RUN = "11111111-1111-4111-8111-111111111111"
OPEN_RUN = "22222222-2222-4222-8222-222222222222"


@dataclass(frozen=True)
class Ledger:
    """A store with its keyring."""

    url: str
    keyring: Keyring
    engine: Engine = field(repr=False)

    @classmethod
    def create(cls, url: str, directory: Path) -> Ledger:
        return cls(url, ensure_keyring(directory), store.connect(url))

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(str(self.keyring.directory / "checkpoints"))

    @property
    def keys(self) -> list[VerifierKey]:
        return verifiers(self.keyring.directory)

    def append(self, *some: Record) -> range:
        with self.engine.begin() as connection:
            return append(connection, self.keyring, some)

    def sign(self) -> Any:
        with self.engine.begin() as connection:
            return sign_checkpoint(connection, self.keyring, self.checkpoints)

    def verify(self) -> Verdict:
        with self.engine.connect() as connection:
            return verify(
                connection, keys=self.keys, checkpoints=self.checkpoints, keyring=self.keyring
            )

    def rows(self) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return rows(connection)


def rows(connection: Connection) -> list[tuple[Any, ...]]:
    """Everything in the table, in order."""
    found = connection.execute(text(f"SELECT {COLUMNS} FROM ledger_entry ORDER BY index, entry"))
    return [tuple(row) for row in found]


def said_again(
    connection: Connection, checkpoints: Checkpoints, keys: Sequence[VerifierKey]
) -> list[str]:
    """What the second verifier finds."""
    return verify_again(rows(connection), dict(checkpoints.all()), [key.text for key in keys])


def event(run: str, type_: str, **more: Any) -> Record:
    """A run event, as short as can be."""
    return records.run_event({
        "eventTime": "2025-06-02T17:00:00.000000Z", "eventType": type_, "inputs": [],
        "job": {"name": "appointment_reminder.send", "namespace": "reengage"}, "outputs": [],
        "producer": "https://example.org/reengage", "run": {"runId": run, "facets": {}}, **more,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    })  # fmt: skip


def letter_of(number: int) -> UUID:
    return UUID(int=number + 1)


def intent(*numbers: int) -> Record:
    return records.intent(
        run=UUID(RUN), campaign="appointment_reminder", vendor="acme", baa_id="BAA-1",
        letters=[letter_of(number) for number in numbers],
    )  # fmt: skip


def disclosure(number: int, outcome: str = "sent", **more: Any) -> Record:
    """What became of a letter, as the outbox records it."""
    transport = {
        "cipher": "TLS_AES_256_GCM_SHA384", "code": 250, "enhanced_code": "2.0.0",
        "host": "relay.example.org", "kind": outcome, "peer_sha256": "ab" * 32,
        "queue_id": f"Q{number}", "recipient_policy": None, "requiretls": False,
        "stage": "data", "tls_version": "TLSv1.3",
    }  # fmt: skip
    said = {
        "letter": letter_of(number), "run": UUID(RUN), "campaign": "appointment_reminder",
        "campaign_date": DAY, "patient": f"{number:032x}", "recipient": f"{number + 7:032x}",
        "pseudonym_key": "pseudonym-0a1b2c3d", "purpose": "reminder",
        "fields": ["appointment.location", "appointment.start_at", "patient.given_name"],
        "authorization": None, "template_sha256": "1" * 64, "suite_sha256": "2" * 64,
        "vendor": "acme", "baa_id": "BAA-1", "message_id": f"<{number}@clinic.example.org>",
        "seal": "tls", "seal_basis": "contract", "outcome": outcome, "reason": None,
        "transport": transport,
    }  # fmt: skip
    return Disclosure(**{**said, **more}).record()


def access(of: str, actor: str = "ann") -> Record:
    return records.access(actor=actor, action="opened", of=of)


def configuration(name: str) -> Record:
    return records.configuration(
        name=name, sha256="3" * 64, previous=None, changed_by={"author": "ann", "at": 17}
    )


def two_days(made: Ledger, after_first: Callable[[], object] = lambda: None) -> None:
    """Two days with a checkpoint each, of 10 and of 313 entries, and a morning after it."""
    made.append(configuration("campaigns/appointment_reminder.yaml"), event(RUN, "START"))
    made.append(intent(0, 1, 2))
    made.append(*(disclosure(number) for number in range(3)))
    made.append(event(RUN, "RUNNING"), event(RUN, "COMPLETE"))
    made.append(access("report"), access("letter"))
    made.sign()
    after_first()
    made.append(event(OPEN_RUN, "START"), intent(*range(3, 303)))
    made.append(*(disclosure(number) for number in range(3, 303)))
    made.sign()
    made.append(access("export"), access("trail", "Ann \U0001f58b"))  # not for the quick look
    made.append(*(disclosure(number) for number in range(303, 306)))
