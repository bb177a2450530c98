"""Suppressions: addresses, and patients for one purpose, that are written to no more for now.

Each has a reason, evidence, perhaps an end, and a way back: a person lifts it, or the practice
confirms the address anew. Like refusals they are in a journal before they are in the store, so
that a store from a backup learns of them before it sends (SEC-08): a file of its own beside the
journal of refusals, pseudonyms only.

The claim and the extraction read what is in force in SQL (sql/outbox/claim.sql, standing.sql).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID, uuid5

from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.journal import Journal, Mark
from reengage.journalled import Journalled
from reengage.ledger.owed import Owed, owe

Reason = Literal["hard_bounce", "soft_bounces", "complaint", "not_me"]
VERSION = 1
BATCH = 1000

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_IDS = UUID("8d0f5f3a-4f9e-4c53-9d8e-2d6c3f0a7b19")
_INSTANTS = ("at", "expires_at", "lifted_at")
_LIFTED = ("lifted_at", "lifted_by")
RESPONSES = "reengage_responses"
PORTAL = "portal"
"""Whom the ledger names for what follows from a message, or from what a reader says."""


@dataclass(frozen=True)
class Suppression:
    """Of an address (`recipient`), or of a patient for one `purpose`; both are pseudonyms."""

    suppression_id: UUID
    reason: str
    at: datetime
    """When it was found out, by the practice's clock: an address confirmed later is free again."""
    recipient: str | None = None
    patient: str | None = None
    purpose: str | None = None
    letter_id: UUID | None = None
    evidence: str | None = None
    """Keyed digest of the message that says so."""
    status: str | None = None
    expires_at: datetime | None = None
    lifted_at: datetime | None = None
    lifted_by: str | None = None

    def __post_init__(self) -> None:
        """Nothing else goes into the journal."""
        if (self.recipient is None) == (self.patient is None):
            raise ValueError("a suppression is of an address or of a patient")
        if not _PSEUDONYM.fullmatch(self.recipient or self.patient or ""):
            raise ValueError("a suppression names nobody but by pseudonym")
        if self.reason not in get_args(Reason):
            raise ValueError("a suppression has a reason")
        if self.status is not None and not _STATUS.fullmatch(self.status):
            raise ValueError("a suppression's status is an enhanced one or none")
        instants = (getattr(self, name) for name in _INSTANTS)
        if any(one is not None and one.tzinfo is None for one in instants):
            raise ValueError("a suppression's instants have an offset")

    def line(self) -> bytes:
        """The suppression as a line of the journal."""
        found = {
            name: value.isoformat() if isinstance(value, datetime)
            else str(value) if isinstance(value, UUID) else value
            for name, value in asdict(self).items()
        }  # fmt: skip
        return json.dumps({"v": VERSION, **found}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Suppression:
        """The suppression of a line. Raises ValueError, KeyError or TypeError when it is none."""
        found = json.loads(line)
        if found.pop("v") != VERSION:
            raise ValueError("a line of another version")
        for name in _INSTANTS:
            found[name] = datetime.fromisoformat(found[name]) if found[name] else None
        for name in ("suppression_id", "letter_id"):
            found[name] = UUID(found[name]) if found[name] else None
        return cls(**found)


def suppression_id(of: UUID, reason: Reason) -> UUID:
    """The same for whatever says the same of a letter, or incident, again: what was lifted stays
    lifted.
    """
    return uuid5(_IDS, f"{of}/{reason}")


def record(connection: Connection, path: Path, suppressions: Sequence[Suppression]) -> int:
    """Write down what is not known yet; gives how many that were. Repeating it is harmless.

    In the journal when it returns, in the store when the caller commits; until then other writers
    wait. Raises StoreError when the journal cannot be written, or is not this store's.
    """
    journal = Journal(path)
    _FOLLOWED.catch_up(connection, journal)
    new = [one for one in suppressions if not _has(connection, one)]
    if new:
        journal.append([one.line() for one in new])
        _FOLLOWED.catch_up(connection, journal)
    return len(new)


def lift(connection: Connection, path: Path, which: UUID, *, at: datetime, by: str) -> Suppression:
    """End a suppression that is in force; gives what it was. Raises StoreError where none is."""
    found = [one for one in listed(connection, at) if one.suppression_id == which]
    if not found:
        raise StoreError(
            f"no suppression {which} is in force; look at `python -m reengage suppressions list`"
        )
    record(connection, path, [replace(found[0], lifted_at=at, lifted_by=by)])
    return found[0]


def listed(connection: Connection, now: datetime) -> list[Suppression]:
    """Those in force, the newest first; one by hand or of an earlier version has no evidence."""
    found = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM suppression WHERE lifted_at IS NULL"  # noqa: S608 - no value
            " AND (expires_at > :now) IS NOT FALSE ORDER BY at DESC, suppression_id"
        ),
        {"now": now},
    )
    return [Suppression(**row) for row in found.mappings() if row["reason"] in get_args(Reason)]


def replay(connection: Connection, path: Path) -> int:
    """Give the store what the journal has beyond its mark; gives how many lines that were.

    Raises StoreError when the journal was lost or replaced, or has a line that is none.
    """
    return _FOLLOWED.replay(connection, Journal(path))


def mend(connection: Connection, path: Path) -> int:
    """Join store and journal where the journal was lost; gives how many the store learnt of."""
    journal = Journal(path)
    _FOLLOWED.mark(connection, lock=True)
    learnt = _FOLLOWED.apply(connection, journal, Mark())
    known = connection.execute(
        text(f"SELECT {_COLUMNS} FROM suppression WHERE evidence IS NOT NULL")  # noqa: S608
    ).mappings()
    lines = [Suppression(**row).line() for row in known]
    if lines:
        journal.append(lines)
    _FOLLOWED.apply(connection, journal, Mark())
    return learnt


_COLUMNS = ", ".join(Suppression.__dataclass_fields__)


def _has(connection: Connection, one: Suppression) -> bool:
    found = connection.execute(
        text("SELECT lifted_at IS NOT NULL FROM suppression WHERE suppression_id = :id"),
        {"id": one.suppression_id},
    ).scalar_one_or_none()
    return found is not None and (found or one.lifted_at is None)


def _put_all(connection: Connection, suppressions: Sequence[Suppression]) -> int:
    for one in suppressions:
        _put(connection, one)
    return len(suppressions)


def _put(connection: Connection, one: Suppression) -> None:
    """Of what is new the ledger is owed a record, whoever finds it in the journal."""
    if not _has(connection, one):
        owe(connection, [_owed_for_lifting(one) if one.lifted_at is not None else _owed(one)])
    values = ", ".join(f":{name}" for name in Suppression.__dataclass_fields__)
    connection.execute(
        text(
            f"INSERT INTO suppression ({_COLUMNS}) VALUES ({values})"  # noqa: S608 - no value
            " ON CONFLICT (suppression_id) DO UPDATE SET"
            " lifted_at = coalesce(suppression.lifted_at, excluded.lifted_at),"
            " lifted_by = coalesce(suppression.lifted_by, excluded.lifted_by)"
        ),
        asdict(one),
    )


def lifting(which: UUID) -> str:
    """What names the lifting among the records that the ledger is owed."""
    return f"lifting:{which}"


def suppressing(which: UUID) -> str:
    """What names the suppression itself among them."""
    return f"suppression:{which}"


def _owed(one: Suppression) -> Owed:
    """All of it, so that a restore makes it of the record again (backup/said.py)."""
    found = json.loads(one.line())
    detail = {name: found[name] for name in found if name not in ("v", *_LIFTED)}
    detail["suppression"] = detail.pop("suppression_id")
    detail["letter"] = detail.pop("letter_id")
    actor = PORTAL if one.reason == "not_me" else RESPONSES
    return Owed(suppressing(one.suppression_id), actor, "suppressed", "suppression", detail)


def _owed_for_lifting(one: Suppression) -> Owed:
    detail = {
        "suppression": str(one.suppression_id), "reason": one.reason, "recipient": one.recipient,
        "patient": one.patient, "purpose": one.purpose,
    }  # fmt: skip
    actor = one.lifted_by or "practice"
    return Owed(lifting(one.suppression_id), actor, "lifted", "suppression", detail)


_FOLLOWED: Journalled[Suppression] = Journalled(
    "suppression", "suppression_mark", Suppression.from_line, _put_all, lambda: BATCH
)
