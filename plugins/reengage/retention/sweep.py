"""Sweep: remove what was kept for as long as the table says; the same again removes nothing.

Each kind in a transaction of its own, so that what is broken off has done the kinds before. Counts
only are told. Files go by when they were last written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from reengage.errors import ConfigurationError
from reengage.keys import Keyring
from reengage.outcomes.observe import ASKED
from reengage.pipeline.deposits import remove_expired
from reengage.responses.spool import REFUSED
from reengage.retention.months import oldest_kept, purge
from reengage.retention.table import kept
from reengage.sql import load_sql

REHEARSED = re.compile(r"[0-9a-f]{32}\.localhost(:2,[A-Za-z]*)?$")
"""A rehearsed letter's name, as `send` gives it, and a mail reader its flags."""


@dataclass(frozen=True)
class Places:
    """Folders that hold what goes by age; None = there is none."""

    rehearsal: Path | None = None
    spool: Path | None = None


def sweep(
    store: Engine, keyring: Keyring, home: Path, *, now: datetime, places: Places
) -> dict[str, int]:
    """Apply the table; gives how many of each kind went, those of which any did.

    A clock that is ahead of the store's removes nothing early.
    """
    with store.connect() as connection:
        now = connection.execute(
            text("SELECT least(CAST(:now AS timestamptz), clock_timestamp())"), {"now": now}
        ).scalar_one()
    today = now.date()
    gone = {"decisions": len(purge(store, keyring, today))}
    # A follow-up is in effect while the warehouse is asked about it, long after its letter was.
    since = {"letters": today, "follow_ups": today - ASKED, "runs": today}
    for name, day in since.items():
        gone[name] = _run(store, home, name, {"before": oldest_kept(day)})
    for name in ("steps", "beginnings", "rehearsals"):
        gone[name] = _run(store, home, name, {"since": now - _days(name)})
    gone |= _shredded(store, keyring, home, now)
    with store.begin() as connection:
        gone["portal_messages"] = remove_expired(connection, now)
    gone["rehearsed_files"] = sum(
        _files(places.rehearsal / part, now - _days("rehearsed_files"), REHEARSED)
        for part in ("tmp", "new", "cur")
        if places.rehearsal
    )
    if places.spool:
        gone["refused_events"] = _files(
            places.spool / REFUSED, now - _days("refused_events"), re.compile("")
        )
    return {name: count for name, count in gone.items() if count}


def _days(name: str) -> timedelta:
    return timedelta(days=kept(name).term.days)


def _run(store: Engine, home: Path, name: str, parameters: Mapping[str, Any]) -> int:
    with store.begin() as connection:
        return connection.execute(
            text(load_sql(home, f"retention/{name}.sql")), parameters
        ).rowcount


def _shredded(store: Engine, keyring: Keyring, home: Path, now: datetime) -> dict[str, int]:
    """What only destroyed keys open. A key that is still there keeps what it opens."""
    since = {"since": now - _days("batches")}
    with store.connect() as connection:
        found = connection.execute(text(load_sql(home, "retention/shredded.sql")), since).scalars()
        runs = [run_id for run_id in found if not keyring.has_data_key(run_id)]
    return {name: _run(store, home, name, {"runs": runs}) for name in ("batches", "sealed_letters")}


def _files(directory: Path, since: datetime, named: re.Pattern[str]) -> int:
    """Remove files of ours in a directory, by their names, that were last written before then.

    Somebody else's, below a folder that a setting names by mistake, are left alone.
    """
    if not directory.is_dir():
        return 0
    gone = 0
    try:
        for path in directory.iterdir():
            if (
                named.match(path.name)
                and path.is_file()
                and not path.is_symlink()
                and path.stat().st_mtime < since.timestamp()
            ):
                path.unlink(missing_ok=True)
                gone += 1
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be swept ({error.strerror}); give it to the user that runs this"
        ) from None
    return gone
