"""Restored: a store that came back from a backup sends nothing again that it does not remember.

It is known by the newest signed checkpoint, which lies where the store's writers cannot change it:
one that covers more than the ledger holds, or something else, was signed of what was lost. Nothing
is sent then, until a person accepts it. What is missing of after the newest checkpoint it cannot
tell; but a backup, a point-in-time recovery and a standby that was promoted are elsewhere than
where the store last sent from (`store_home`: server, timeline, database), and stop likewise.

After that, what may have been sent since the backup is `unknown`: every letter that is open, and
those of the next live run of each campaign, up to one that is settled. Whoever was written to in
the lost time is due again for the store, so that their letters are composed once more, under the
same Message-ID as then: the relay's log tells which have left (unknown.py).
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.keys import Keyring
from reengage.ledger.append import read_head
from reengage.ledger.checkpoint import Checkpoint
from reengage.ledger.checkpoints import Checkpoints, lost_with
from reengage.pipeline.disclosure import disclose
from reengage.pipeline.run import Run
from reengage.sql import load_sql

IN_DOUBT = "store_restored"
"""Reason of the letters that may have left in the time that the store has lost."""


def require_whole(connection: Connection, run: Run) -> None:
    """Raises StoreError where the ledger falls short of what was signed of it, or the store is not
    where it last sent from, unless a person has accepted that; LedgerError where the newest
    checkpoint cannot be read.
    """
    checkpoints = Checkpoints(run.settings.checkpoints_location)
    signed = lost_with(connection, run.keyring, checkpoints)
    if signed is None or _is_accepted(connection, signed):
        _require_home(connection)
        return
    size = read_head(connection, run.keyring).frontier.size
    raise StoreError(
        f"the ledger, with {size:,} entries, is not what checkpoint {signed.size:,} was signed of,"
        " as in a store that came back from a backup: it would send again what was sent since."
        " Nothing is sent; do what docs/runbook.md says under `A restored store`"
    )


def move_in(connection: Connection) -> None:
    """From now on the store sends from here. The caller knows what it has of what was sent."""
    connection.execute(text("INSERT INTO store_home (place) VALUES (store_place())"))


def accept_complete(connection: Connection, keyring: Keyring, checkpoints: Checkpoints) -> None:
    """Note that the store is elsewhere and has everything, as somebody knows: a synchronous standby
    took over. Raises StoreError where it lacks what was signed of it. The caller records who and
    why in the ledger.
    """
    if signed := lost_with(connection, keyring, checkpoints):
        raise StoreError(
            f"the ledger is not what checkpoint {signed.size:,} was signed of, so that something is"
            " lost; say what happened, without --nothing-lost"
        )
    move_in(connection)


def accept(
    connection: Connection, keyring: Keyring, checkpoints: Checkpoints, by: str
) -> Checkpoint | None:
    """Note that the store was restored, and that somebody knows; gives the checkpoint that it falls
    short of, where there is one. The caller records who and why in the ledger.
    """
    signed = lost_with(connection, keyring, checkpoints)
    move_in(connection)
    connection.execute(
        text(
            "INSERT INTO restoration (accepted_by, ledger_size, checkpoint_size, checkpoint_root)"
            " VALUES (:by, :ledger_size, :checkpoint_size, :checkpoint_root)"
        ),
        {
            "by": by,
            "ledger_size": read_head(connection, keyring).frontier.size,
            "checkpoint_size": signed.size if signed else None,
            "checkpoint_root": signed.root if signed else None,
        },
    )
    return signed


def doubt(connection: Connection, run: Run, chunk: int) -> int:
    """Have the chunk's open letters be `unknown` where they may have left already; gives how many.

    Call it with the chunk's lease, before anything of it is claimed.
    """
    found = connection.execute(
        text(load_sql(run.settings.home, "outbox/doubt.sql")),
        {
            "run_id": run.run_id,
            "campaign": run.campaign.slug,
            "chunk": chunk,
            "reason": IN_DOUBT,
        },
    ).scalars()
    return disclose(connection, run, sorted(found))


def _require_home(connection: Connection) -> None:
    home = connection.execute(
        text(
            "SELECT (SELECT place FROM store_home ORDER BY home_id DESC LIMIT 1) AS known,"
            " store_place() AS present"
        )
    ).one()
    if home.known is None:  # it has never sent
        move_in(connection)
    elif home.known != home.present:
        raise StoreError(
            "the store is not where it last sent from, as one that came back from a backup or a"
            " standby that was promoted: it may send again what was sent since. Nothing is sent; do"
            " what docs/runbook.md says under `A restored store`",
            countless=True,
        )


def _is_accepted(connection: Connection, signed: Checkpoint) -> bool:
    found: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM restoration"
            " WHERE checkpoint_size = :size AND checkpoint_root = :root)"
        ),
        {"size": signed.size, "root": signed.root},
    ).scalar_one()
    return found
