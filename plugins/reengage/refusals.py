"""Refusals: what patients tell us about being written to, which outlives the store it is kept in.

Revocations, opt-outs and restrictions; and, since a letter to the wrong address is worse than none,
the language and the address that a patient asked for (PRV-21): of an address the journal has the
pseudonym only, and a store that came back without it holds the patient's letters back.

Each is written to a journal outside the store and synced to disk, and then to the store, in one
order for all: the store's mark says how much of the journal it has. A store restored from a backup
has an older mark, and `replay` gives it everything since (PRV-06, SEC-08, EML-26). A line whose
transaction failed is applied by whoever comes next, who then owes the ledger its record
(ledger/owed.py): what a patient said is recorded once, whatever became of the first transaction.

The journal has one JSON object a line and holds pseudonyms, never a patient's key. A line that is
none, and a journal that is not the one that the store has applied, are a StoreError: nothing is
sent until someone has looked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy import Connection, text

from reengage.journal import Journal, Mark
from reengage.journalled import Journalled, batches
from reengage.ledger.owed import Owed, owe

BATCH = 5000
"""Refusals read and written at once."""
WAREHOUSE = "warehouse"
"""Channel and source of what the warehouse told us."""
VERSION = 1
PATIENT = "patient"
"""Whom the ledger names where patients act for themselves."""
OWN_CHANNELS = frozenset({"portal", "one_click", "mailto"})
"""Ways by which a patient tells us without anybody of the practice."""

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_ADDRESSES = re.compile(r"[0-9a-f]{32}:[0-9a-f]{32}")
Kind = Literal["revocation", "opt_out", "restriction", "language", "address"]


@dataclass(frozen=True)
class Refusal:
    """One refusal of one patient; `scope` is a purpose or a campaign, None = all of them.

    A revocation ends the forms that were signed up to `at`; an opt-out (of a campaign, or of
    `purpose:<purpose>`) and a restriction have no end. Of a language `scope` is the language, of an
    address `<the one on file>:<the one to use instead>`, both by pseudonym; None = as the warehouse
    says. The newest counts.
    """

    kind: Kind
    patient: str
    """The patient's pseudonym."""
    scope: str | None
    at: datetime
    channel: str
    source: Literal["patient", "warehouse"]
    received_at: datetime

    def __post_init__(self) -> None:
        """Nothing else goes where nothing is ever erased."""
        if self.kind not in get_args(Kind) or self.source not in ("patient", WAREHOUSE):
            raise ValueError("a refusal has a kind and a source")
        shape = {"language": _LANGUAGE, "address": _ADDRESSES}.get(self.kind)
        if shape and self.scope is not None and not shape.fullmatch(self.scope):
            raise ValueError("a language is two letters, an address two pseudonyms")
        if self.kind == "restriction" and self.scope is not None:
            raise ValueError("a restriction is of everything")
        if not _PSEUDONYM.fullmatch(self.patient):
            raise ValueError("a refusal names its patient by pseudonym")
        if self.at.tzinfo is None or self.received_at.tzinfo is None:
            raise ValueError("a refusal's instants have an offset")

    def line(self) -> bytes:
        """The refusal as a line of the journal."""
        instants = {"at": self.at.isoformat(), "received_at": self.received_at.isoformat()}
        found = {"v": VERSION, **asdict(self), **instants}
        return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()

    @property
    def what(self) -> str:
        """What names it among the records that the ledger is owed."""
        return f"{self.kind}:{self.patient}:{self.scope}:{self.at.timestamp()}"

    @classmethod
    def from_line(cls, line: bytes) -> Refusal:
        """The refusal of a line. Raises ValueError, KeyError or TypeError when it is none."""
        found = json.loads(line)
        if found.pop("v") != VERSION:
            raise ValueError("a line of another version")
        instants = {name: datetime.fromisoformat(found[name]) for name in ("at", "received_at")}
        return cls(**{**found, **instants})


def purpose_scope(purpose: str) -> str:
    """The scope of an opt-out from all campaigns of a purpose; no campaign is called so."""
    return f"purpose:{purpose}"


def record(connection: Connection, path: Path, refusals: Sequence[Refusal]) -> int:
    """Write down what is not known yet; gives how many that were. Repeating it is harmless.

    On disk in the journal when it returns, in the store when the caller commits; until then other
    writers wait, so commit soon. Raises StoreError when the journal at `path` cannot be written or
    is not this store's: nothing was recorded then.
    """
    journal = Journal(path)
    _FOLLOWED.catch_up(connection, journal)
    new = _unknown(connection, refusals)
    if new:
        journal.append([one.line() for one in new])
        _FOLLOWED.catch_up(connection, journal)
    return len(new)


def replay(connection: Connection, path: Path) -> int:
    """Give the store what the journal has beyond its mark; gives how many it did not know.

    A look at one row and one file when there is nothing to do. Raises StoreError when the journal
    was lost or replaced, or has a line that is none.
    """
    return _FOLLOWED.replay(connection, Journal(path))


def mend(connection: Connection, path: Path) -> int:
    """Join store and journal where the journal was lost or replaced: each has then what either had.

    Gives how many refusals the store did not know. For an operator, who must know that the store
    is not itself from a backup: what neither of the two has is gone.
    """
    journal = Journal(path)
    _FOLLOWED.mark(connection, lock=True)
    learnt = _FOLLOWED.apply(connection, journal, Mark())
    _write_all(connection, journal)
    return learnt + _FOLLOWED.apply(connection, journal, Mark())


def newest_of_warehouse(connection: Connection) -> dict[str, datetime | None]:
    """Per kind, the latest instant of what the warehouse told us; None where it told nothing."""
    found = connection.execute(
        text("""
            SELECT
                (SELECT max(revoked_at) FROM revocation WHERE source = 'warehouse') AS revocation,
                (SELECT max(at) FROM opt_out WHERE channel = 'warehouse') AS opt_out
        """)
    ).one()
    return {"revocation": found.revocation, "opt_out": found.opt_out}


def _unknown(connection: Connection, refusals: Sequence[Refusal]) -> list[Refusal]:
    """Those that the store does not have. Two opt-outs of one scope are one."""
    found = connection.execute(
        text("""
            SELECT asked.number
            FROM unnest(CAST(:kinds AS text[]), CAST(:patients AS text[]), CAST(:scopes AS text[]),
                        CAST(:instants AS timestamptz[]))
                WITH ORDINALITY AS asked (kind, patient, scope, at, number)
            LEFT JOIN revocation AS r
                ON asked.kind = 'revocation' AND r.patient = asked.patient
                AND r.purpose IS NOT DISTINCT FROM asked.scope AND r.revoked_at = asked.at
            LEFT JOIN opt_out AS o
                ON asked.kind = 'opt_out' AND o.patient = asked.patient
                AND o.campaign IS NOT DISTINCT FROM asked.scope
            LEFT JOIN restriction AS x
                ON asked.kind = 'restriction' AND x.patient = asked.patient
            LEFT JOIN preference AS p
                ON p.kind = asked.kind AND p.patient = asked.patient
                AND p.value IS NOT DISTINCT FROM asked.scope AND p.at = asked.at
            WHERE r.patient IS NULL AND o.patient IS NULL
              AND x.patient IS NULL AND p.patient IS NULL
            ORDER BY asked.number
        """),
        _arrays(refusals),
    )
    return list(dict.fromkeys(refusals[number - 1] for number in found.scalars()))


_PREFERRED = (
    "INSERT INTO preference (patient, kind, value, at, received_at, channel)"
    " SELECT patient, kind, scope, at, received_at, channel {} RETURNING patient, value, at"
)
_TABLES = {
    "revocation": "INSERT INTO revocation"
    " (patient, purpose, revoked_at, received_at, channel, source)"
    " SELECT patient, scope, at, received_at, channel, source {}"
    " RETURNING patient, purpose, revoked_at",
    "opt_out": "INSERT INTO opt_out (patient, campaign, channel, at)"
    " SELECT patient, scope, channel, at {} RETURNING patient, campaign, at",
    "restriction": "INSERT INTO restriction (patient, at, received_at, channel)"
    " SELECT patient, at, received_at, channel {} RETURNING patient, CAST(NULL AS text), at",
    "language": _PREFERRED,
    "address": _PREFERRED,
}


def _insert(connection: Connection, refusals: Sequence[Refusal]) -> int:
    """Gives how many were not there; of what patients told us the ledger is owed a record."""
    asked = """
        FROM unnest(CAST(:kinds AS text[]), CAST(:patients AS text[]), CAST(:scopes AS text[]),
                    CAST(:instants AS timestamptz[]), CAST(:receipts AS timestamptz[]),
                    CAST(:channels AS text[]), CAST(:sources AS text[]))
            AS asked (kind, patient, scope, at, received_at, channel, source)
        WHERE asked.kind = :kind
        ON CONFLICT DO NOTHING
    """
    arrays, kinds = _arrays(refusals), {one.kind for one in refusals}
    new: set[tuple[object, ...]] = set()
    for kind, into in _TABLES.items():
        if kind in kinds:
            found = connection.execute(text(into.format(asked)), {**arrays, "kind": kind})
            new.update((kind, *row) for row in found)
    owe(connection, [
        _owed(one)
        for one in dict.fromkeys(refusals)
        if one.source == "patient" and (one.kind, one.patient, one.scope, one.at) in new
    ])  # fmt: skip
    return len(new)


def _owed(one: Refusal) -> Owed:
    """The record of it; who of the practice wrote it down the journal does not say."""
    actor = PATIENT if one.channel in OWN_CHANNELS else "practice"
    detail = {
        "patient": one.patient, "scope": one.scope, "channel": one.channel,
        "at": one.at.isoformat(),
    }  # fmt: skip
    return Owed(one.what, actor, "recorded", one.kind, detail)


def _arrays(refusals: Sequence[Refusal]) -> dict[str, list[object]]:
    columns = {
        "kinds": "kind", "patients": "patient", "scopes": "scope", "instants": "at",
        "receipts": "received_at", "channels": "channel", "sources": "source",
    }  # fmt: skip
    return {name: [getattr(one, field) for one in refusals] for name, field in columns.items()}


def _write_all(connection: Connection, journal: Journal) -> None:
    """Add all that the store knows to the journal; what is there twice is applied once."""
    for refusals in batches(_known(connection), BATCH):
        journal.append([one.line() for one in refusals])


def _known(connection: Connection) -> Iterator[Refusal]:
    found = connection.execute(
        text("""
            SELECT 'revocation' AS kind, patient, purpose AS scope, revoked_at AS at, channel,
                source, received_at
            FROM revocation
            UNION ALL
            SELECT 'opt_out', patient, campaign, at, channel,
                CASE channel WHEN 'warehouse' THEN 'warehouse' ELSE 'patient' END, at
            FROM opt_out
            UNION ALL
            SELECT 'restriction', patient, NULL, at, channel, 'patient', received_at
            FROM restriction
            UNION ALL
            SELECT kind, patient, value, at, channel, 'patient', received_at FROM preference
        """),
        execution_options={"yield_per": BATCH},
    )
    for row in found.mappings():
        yield Refusal(**row)


_FOLLOWED: Journalled[Refusal] = Journalled(
    "refusal", "refusal_mark", Refusal.from_line, lambda *said: _insert(*said), lambda: BATCH,
    begin=_write_all,  # opt-outs from before there was a journal
)  # fmt: skip
