"""Backup and restore at the command line (docs/backup.md).

The store's dumps go to one place, keyring and journals to another: both in one would undo shred.
Either is on record in the ledger, the backup before it is taken (SEC-15).
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from sqlalchemy import Connection, Engine, text

from reengage.backup.aside import bring_back, copy_aside
from reengage.backup.restore import Restored
from reengage.backup.restore import restore as bring_store_back
from reengage.backup.take import expire, newest, take
from reengage.cli import places
from reengage.cli.actor import actor, note_access, record_access
from reengage.embedded import postgres
from reengage.embedded.layout import Layout
from reengage.errors import BackupError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.checkpoints import Checkpoints
from reengage.pipeline.traces import traces_in
from reengage.settings import Settings, checkpoints_location


def backup(options: Namespace, home: Path) -> int:
    """The store first, then what it leans on: nothing that the dump names is missing there."""
    to, keys = _places(options, home)
    _require_apart(home, to, keys)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine:
        record_access(engine, keyring, "exported", "backup", {"of": "store"})
        taken = take(engine, keyring, home, to, now=datetime.now(UTC))
        copied = copy_aside(
            keyring,
            keys,
            journals=[places.journal(home), places.suppressions(home)],
            checkpoints=Checkpoints(checkpoints_location(places.keyring(home))),
            months=_months(engine),
        )
        gone = _expire(options, engine, keyring, to)
    console = Console()
    console.print(
        f"store  {taken.directory}, {taken.octets:,} octets, {taken.manifest.entries:,} entries of"
        " the ledger",
        soft_wrap=True,
    )
    console.print(
        f"keys   {keys}, {copied.keys} files of keys ({copied.destroyed} destroyed since),"
        f" journals of {copied.journals:,} octets, {copied.checkpoints} checkpoints",
        soft_wrap=True,
    )
    if gone:
        console.print(f"gone   {len(gone)} dumps older than {options.keep_days} days")
    if to.stat().st_dev == keys.stat().st_dev:
        print(
            "both lie on one disk, and whoever gets it can read what was shredded since; keep them"
            " apart",
            file=sys.stderr,
        )
    return 0


def restore(options: Namespace, home: Path) -> int:
    """Bring the store back; keyring, journals and checkpoints only where there are none."""
    by = actor()  # before anything is brought back
    to, keys = _places(options, home)
    directory = newest(options.place or to)
    traces = [trace for path in options.evidence for trace in traces_in(path)]
    ring = places.keyring(home)
    journals = [places.journal(home), places.suppressions(home)]
    back = bring_back(keys, ring, journals, checkpoints_location(ring))
    with _settings(home, ring) as settings:
        found = bring_store_back(
            settings, back.keyring, directory, traces=traces, note=_note, by=by
        )
    if found is None:
        Console().print(f"{directory.name} was restored into this store already")
        return 0
    _tell(found)
    if back.ended:
        print(_ended(back.ended, found), file=sys.stderr)
    return 0


def _places(options: Namespace, home: Path) -> tuple[Path, Path]:
    layout = Layout(home)
    to: Path = getattr(options, "to", None) or layout.backups
    keys: Path = options.keys or layout.key_backups
    return to.resolve(), keys.resolve()


def _require_apart(home: Path, to: Path, keys: Path) -> None:
    """Whoever copies one of the places must not get the other with it."""
    if to.is_relative_to(keys) or keys.is_relative_to(to):
        raise BackupError(
            f"{keys} and {to} lie within each other; keep dumps and keys apart, since a backup that"
            " holds both opens what was shredded"
        )
    ring = places.keyring(home).resolve()
    for place in (to, keys):
        if place.is_relative_to(home) or place.is_relative_to(ring) or ring.is_relative_to(place):
            raise BackupError(
                f"{place} lies within the project or the keyring, and would be lost with it; name"
                " another directory"
            )


def _months(engine: Engine) -> list[date]:
    """The months of which the store has decisions."""
    with engine.connect() as connection:
        names = connection.execute(
            text(
                "SELECT right(relname, 7) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
                " WHERE inhparent = CAST('decision' AS regclass)"
            )
        ).scalars()
        return [datetime.strptime(name, "%Y_%m").replace(tzinfo=UTC).date() for name in names]


def _expire(options: Namespace, engine: Engine, keyring: Keyring, to: Path) -> list[str]:
    """Older dumps hold what retention removed since (SEC-10)."""
    gone = expire(to, datetime.now(UTC) - timedelta(days=options.keep_days))
    if gone:
        record_access(engine, keyring, "removed", "backup", {"dumps": gone})
    return gone


@contextmanager
def _settings(home: Path, keyring: Path) -> Iterator[Settings]:
    """What a restore needs to know; the embedded default's store is not migrated before it."""
    url = os.environ.get("REENGAGE_STORE_URL")
    if url:
        yield _of(home, keyring, url)
        return
    with postgres.running(Layout(home).postgres) as server:
        yield _of(home, keyring, server.url("store"))


def _of(home: Path, keyring: Path, store_url: str) -> Settings:
    return Settings(
        home=home,
        warehouse_url="",
        store_url=store_url,
        keyring=keyring,
        relays={},
        journal=places.journal(home),
        checkpoints=checkpoints_location(keyring),
        archive=os.environ.get("REENGAGE_ARCHIVE") or None,
    )


def _ended(journals: Sequence[Path], found: Restored) -> str:
    """What an operator must know whose journals were lost with the store."""
    known = (
        f"up to the ledger's entry {found.entries - 1}, where its archive ends, and not beyond"
        if found.recovered
        else "nowhere, since no archive of the ledger goes on from the backup"
    )
    return (
        f"{' and '.join(one.name for one in journals)}: nothing beyond the last backup. What was"
        f" said since, if a file was lost, is known {known}: find it and restore again into an"
        " empty database, or record again what was said at the desk (revocations with --at)"
    )


def _note(connection: Connection, keyring: Keyring, said: dict[str, object]) -> int:
    return note_access(connection, keyring, "restored", "store", said)


def _tell(found: Restored) -> None:
    console = Console()
    console.print(
        f"restored {found.manifest.backup_id}: {found.manifest.entries:,} entries of the ledger,"
        f" {found.recovered:,} more from the archive",
        soft_wrap=True,
    )
    console.print(
        f"the store learnt of {found.refusals:,} refusals and suppressions from the journals,"
        f" of {found.heard:,} from the ledger's entries",
        soft_wrap=True,
    )
    console.print(
        f"letters: {found.settled.recorded:,} settled as the ledger says,"
        f" {found.settled.unknown:,} unknown, {found.settled.lost + found.traced:,} without a row"
        " that are known and not sent again",
        soft_wrap=True,
    )
    missing = found.signed - found.entries
    if missing > 0:
        print(
            f"{missing:,} entries that were signed are lost to the ledger, and with them what is"
            " known of letters of that time: nothing is sent until somebody accepts that with"
            " `python -m reengage ledger restored`",
            file=sys.stderr,
        )
    decided = found.decided
    console.print(
        f"decisions since: {decided.approvals + decided.pauses:,} taken up,"
        f" {decided.closed:,} letters closed at the portal",
        soft_wrap=True,
    )
    console.print(
        "every campaign is paused until you have looked (docs/backup.md, After a restore):"
        " `python -m reengage campaign resume CAMPAIGN --because WHY` lets it go on",
        soft_wrap=True,
    )
