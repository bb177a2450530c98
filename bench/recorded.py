"""A mailing's ledger, as its days leave it: by the real writer, at the hours of the mailing.

Of a run START and end of each task, of some once for each chunk, an intent for each hundred letters
and a disclosure for each one; beside them a dozen access records a day, the audit's events and,
each night, a checkpoint that is signed. So access records and checkpoints are a few among a million
disclosures. `append` takes the server's clock, which is the mailing's while the days are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid5

from entries import AGREEMENT, disclosure, event
from reengage.keys import Keyring
from reengage.ledger import records
from reengage.ledger.append import append, read_head
from reengage.ledger.checkpoint import Checkpoint, sign
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.records import Record
from reengage.ledger.signers import ensure_signer
from reengage.pipeline.outbox import BATCH
from sqlalchemy import Connection, Engine, text

CHUNK = 500
READERS = ("airflow:ada", "airflow:ben", "airflow:cleo")
READS = 12
"""Access records of a day."""
_ONCE = ("preflight", "extract", "gate", "plan"), ("settle", "shred")
_PAGES = ("overview", "campaign", "run", "ledger", "disclosures", "unknown")
_CLOCK = """
CREATE FUNCTION bench.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT current_setting('bench.now')::timestamptz $$
"""


@contextmanager
def clock_of_the_mailing(engine: Engine) -> Iterator[Connection]:
    """A connection whose server reads the clock that `record_day` sets."""
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA bench"))
        connection.execute(text(_CLOCK))
        connection.execute(text("SET search_path = bench, pg_catalog, public"))
        connection.commit()
        yield connection
        connection.execute(text("SET search_path = public"))
        connection.execute(text("DROP SCHEMA bench CASCADE"))
        connection.commit()


@dataclass(frozen=True)
class Day:
    """A day's run, with who reads on that day."""

    campaign: str
    run: UUID
    day: date
    opened: datetime
    often: str
    """Pseudonym of the patient whom every run writes to."""


def record_day(
    connection: Connection, keyring: Keyring, checkpoints: Checkpoints, one: Day
) -> None:
    """Append what the day leaves, a transaction at a time, and sign it."""
    random = Random(one.day.isoformat())
    letters: Sequence[Any] = connection.execute(
        text("SELECT letter_id, patient, state FROM letter WHERE run_id = :r ORDER BY chunk"),
        {"r": one.run},
    ).all()

    def write(after: timedelta, some: Sequence[Record]) -> None:
        now = {"now": (one.opened + after).isoformat()}
        connection.execute(text("SELECT set_config('bench.now', :now, false)"), now)
        append(connection, keyring, some)
        connection.commit()

    write(timedelta(0), list(_tasks(one, _ONCE[0])))
    for number, chunk in enumerate(_by(letters, CHUNK)):
        write(timedelta(seconds=30 * (number + 1)), list(_chunk(keyring, random, one, chunk)))
    write(timedelta(hours=3), list(_tasks(one, _ONCE[1])))
    for number in range(READS):
        write(timedelta(hours=16, minutes=20 * number), [_access(random, one.day)])
    audit = uuid5(one.run, "audit")
    write(timedelta(hours=21), [event(audit, kind, "reengage_audit.verify")
                                for kind in ("START", "COMPLETE")])  # fmt: skip
    write(timedelta(hours=22), [_checkpoint(connection, keyring, checkpoints)])


def _by(letters: Sequence[Any], many: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(letters), many):
        yield letters[first : first + many]


def _tasks(one: Day, tasks: Sequence[str]) -> Iterator[Record]:
    for task in tasks:
        for kind in ("START", "COMPLETE"):
            yield event(one.run, kind, f"reengage_{one.campaign}.{task}")


def _chunk(keyring: Keyring, random: Random, one: Day, letters: Sequence[Any]) -> Iterator[Record]:
    yield from _tasks(one, ("letter", "check_letters"))
    yield event(one.run, "START", f"reengage_{one.campaign}.send")
    for some in _by(letters, BATCH):
        yield records.intent(
            run=one.run, campaign=one.campaign, **AGREEMENT,
            letters=[letter.letter_id for letter in some], periods=[_hex(random) for _ in some],
        )  # fmt: skip
        for letter in some:
            first = letter is letters[0] and letter.patient.endswith("-1")
            yield disclosure(
                one.run, letter.letter_id, campaign=one.campaign, day=one.day,
                patient=one.often if first else keyring.pseudonym("patient", letter.patient),
                recipient=_hex(random), authorization=_hex(random), queue=_hex(random)[:10],
                outcome=letter.state,
            )  # fmt: skip
    yield event(one.run, "COMPLETE", f"reengage_{one.campaign}.send")


def _access(random: Random, day: date) -> Record:
    return records.access(
        actor=random.choice(READERS), action="opened", of=random.choice(_PAGES),
        detail={"day": day.isoformat()},
    )  # fmt: skip


def _checkpoint(connection: Connection, keyring: Keyring, checkpoints: Checkpoints) -> Record:
    """As `sign_checkpoint` leaves it, but for the look at everything signed before."""
    head = read_head(connection, keyring)
    note = sign(
        Checkpoint(head.origin, head.frontier.size, head.frontier.root),
        *ensure_signer(keyring, head.origin),
    )
    checkpoints.put(head.frontier.size, note)
    return records.checkpoint(origin=head.origin, note=note)


def _hex(random: Random) -> str:
    return random.randbytes(16).hex()
