"""Restore: a store that was lost comes back, in four steps, each of which may be broken off.

    begin    the database must be empty; from now on everybody but this may only read it
    load     the dump, in one transaction
    settle   journals, the ledger's lost entries and what patients said in them, letters that may
             have left since, decisions; on record
    open     in the same transaction: tasks may write again, and every campaign is paused

A store that lives is never overwritten. Between `begin` and `open` no task can claim a letter: the
database itself refuses to write (SEC-08).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from sqlalchemy import Connection, Engine, text

from reengage import database, refusals, store, suppressions
from reengage.backup import programs
from reengage.backup.decided import Decided, recall
from reengage.backup.manifest import DUMP, Manifest, read
from reengage.backup.said import hear_again
from reengage.errors import BackupError, LedgerError
from reengage.keys import Keyring
from reengage.ledger.append import read_head
from reengage.ledger.archive import Archive
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.recover import covered, recover
from reengage.ledger.signers import verifiers
from reengage.pipeline.recalled import Settled, note_traces, settle_restored
from reengage.pipeline.restored import accept, move_in
from reengage.pipeline.traces import Trace
from reengage.settings import Settings

MARKS = "reengage_restoring"
"""Schema that is there while a restore is under way; its table names the backup."""
Note = Callable[[Connection, Keyring, dict[str, object]], object]
"""Records who restored what, in the transaction that opens the store."""


@dataclass(frozen=True)
class Restored:
    """What came back, and what did not."""

    manifest: Manifest
    recovered: int
    """Entries of the ledger that the archive gave back."""
    entries: int
    """Of the ledger now, before this restore's own."""
    signed: int
    """Entries that the newest checkpoint covers; more than `entries`: the rest is lost to it."""
    refusals: int
    """What the store learnt of the journals."""
    heard: int
    """What neither store nor journals had, and the ledger's entries did."""
    settled: Settled
    decided: Decided
    traced: int
    """Letters without a row that the relay's traces know."""


def restore(
    settings: Settings,
    keyring: Keyring,
    directory: Path,
    *,
    traces: Sequence[Trace] = (),
    note: Note,
    by: str,
) -> Restored | None:
    """Bring the store back; None where this backup was restored before, which changes nothing.

    Raises BackupError where the store is not empty, the backup was altered, or its keyring is
    another one; LedgerError where ledger, checkpoints and archive contradict each other.
    """
    manifest = read(directory, keyring)
    if keyring.pseudonym("store", "mark") != manifest.mark:
        raise BackupError(
            "the backup's store was written with another keyring; restore the one that belongs to"
            " it"
        )
    engine = database.engine(
        settings.store_url,
        setting="REENGAGE_STORE_URL",
        connect_args={"application_name": "reengage restore", "options": programs.WRITABLE},
    )
    if _is_restored(engine, manifest):
        return None
    _begin(engine, manifest)
    if not _tables(engine):
        _load(settings, engine, manifest, directory / DUMP)
    _require_loaded(engine, keyring, manifest)
    store.migrate(engine, settings.home)
    return _settle(engine, settings, keyring, manifest, traces, note, by)


def _tables(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
                    " WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname !~ '^pg_'"
                    " AND nspname NOT IN ('information_schema', :marks)"
                ),
                {"marks": MARKS},
            ).scalar_one()
        )


def _under_way(engine: Engine) -> str | None:
    """The backup whose restore was begun and is not done."""
    with engine.connect() as connection:
        if connection.execute(text(f"SELECT to_regclass('{MARKS}.backup')")).scalar() is None:
            return None
        found = connection.execute(text(f"SELECT id FROM {MARKS}.backup"))  # noqa: S608 - our name
        return str(found.scalar_one())


def _is_restored(engine: Engine, manifest: Manifest) -> bool:
    """Whether this backup was restored into this store before."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('public.ledger_entry')")).scalar() is None:
            return False
        return bool(
            connection.execute(
                text(
                    "SELECT EXISTS (SELECT FROM ledger_entry WHERE kind = 'access' AND index >="
                    " :first AND CAST(convert_from(entry, 'UTF8') AS jsonb)"
                    " #>> '{body,detail,restored}' = :id)"
                ),
                {"first": manifest.entries, "id": manifest.backup_id},
            ).scalar_one()
        )


def _begin(engine: Engine, manifest: Manifest) -> None:
    """Close the database to everybody else, and say why."""
    under_way = _under_way(engine)
    if under_way == manifest.backup_id:
        return
    if under_way is not None or _tables(engine):
        what = f"a restore of {under_way} was begun in it" if under_way else "it is not empty"
        raise BackupError(
            f"the store is not overwritten: {what}; point REENGAGE_STORE_URL at an empty database,"
            " or drop this one when you are sure that it is lost"
        )
    with engine.begin() as connection:
        name = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        for role in manifest.roles:
            _ensure_role(connection, role)
        connection.execute(text(f"CREATE SCHEMA {MARKS}"))
        connection.execute(text(f"CREATE TABLE {MARKS}.backup (id text NOT NULL)"))
        connection.execute(
            text(f"INSERT INTO {MARKS}.backup VALUES (:id)"),  # noqa: S608 - our own name
            {"id": manifest.backup_id},
        )


def _ensure_role(connection: Connection, role: str) -> None:
    """What the dump grants something to; a log-in is the administrator's to make."""
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.execute(known, {"role": role}).first():
        return
    may = text("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
    if not connection.execute(may).scalar_one():
        raise BackupError(
            f"role {role} is missing and may not be made here; let an administrator run"
            f" CREATE ROLE {role} NOLOGIN"
        )
    quoted = connection.execute(text("SELECT quote_ident(:role)"), {"role": role}).scalar_one()
    connection.execute(text(f"CREATE ROLE {quoted} NOLOGIN"))


def _load(settings: Settings, engine: Engine, manifest: Manifest, dump: Path) -> None:
    """All of it or nothing. Rights by default are of whoever owned it, and given anew (`_open`)."""
    with engine.connect() as connection:
        number = connection.execute(text("SHOW server_version_num")).scalar_one()
    version = max(int(number) // 10000, manifest.server)
    url = settings.store_url
    listed = programs.run("pg_restore", ("--list",), url=url, at_least=version, dump=dump)
    wanted = [
        line for line in listed.splitlines()
        if " DEFAULT ACL " not in line and " SCHEMA - public " not in line
    ]  # fmt: skip
    # Not beside the dump: that place may be read only, and others may write there.
    with NamedTemporaryFile("w", encoding="utf-8", prefix="reengage-restore-") as contents:
        contents.write("\n".join(wanted) + "\n")
        contents.flush()
        database_name = programs.environment(url)["PGDATABASE"]
        programs.run(
            "pg_restore",
            (
                "--single-transaction", "--exit-on-error", "--no-owner",
                f"--dbname={database_name}", f"--use-list={contents.name}",
            ),
            url=url,
            at_least=version,
            dump=dump,
        )  # fmt: skip


def _require_loaded(engine: Engine, keyring: Keyring, manifest: Manifest) -> None:
    """The dump's ledger is the one that the manifest tells of."""
    with engine.connect() as connection:
        head = read_head(connection, keyring)
    found = (head.origin, head.frontier.size, head.frontier.root.hex())
    if found != (manifest.origin, manifest.entries, manifest.root):
        raise LedgerError(
            f"the ledger that came back has {head.frontier.size} entries and is not the one that"
            f" was backed up ({manifest.entries}); drop the database and take another backup"
        )


def _settle(
    engine: Engine,
    settings: Settings,
    keyring: Keyring,
    manifest: Manifest,
    traces: Sequence[Trace],
    note: Note,
    by: str,
) -> Restored:
    with engine.begin() as connection:
        store.require_keyring(connection, keyring)
        learnt = refusals.replay(connection, settings.journal_path)
        learnt += suppressions.replay(connection, settings.suppressions_path)
        outside = Checkpoints(settings.checkpoints_location)
        archive = Archive(settings.archive) if settings.archive else None
        places = [outside, archive.checkpoints] if archive else [outside]
        signed = covered(places, verifiers(keyring.directory), manifest.origin)
        recovered = recover(connection, keyring, archive, signed) if archive else range(0)
        heard = hear_again(connection, settings, keyring, first=manifest.entries)
        settled = settle_restored(connection, settings, keyring, first=manifest.entries)
        traced = note_traces(connection, traces)
        decided = recall(connection, keyring, settings.home, first=manifest.entries, by=by)
        entries = manifest.entries + len(recovered)
        newest = signed[-1].size if signed else 0
        if not traces and newest <= entries:
            # What left since the newest checkpoint nobody knows: the next run is in doubt. Where
            # more is lost, a person must accept that first (preflight).
            accept(connection, keyring, outside, by)
        elif newest <= entries:
            move_in(connection)
        note(
            connection,
            keyring,
            {
                "restored": manifest.backup_id, "entries": manifest.entries,
                "recovered": len(recovered), "signed": newest, "refusals": learnt,
                "heard_again": heard,
                "unknown": settled.unknown, "lost": settled.lost,
                "decisions": decided.approvals + decided.pauses,
                "closed_at_portal": decided.closed, "paused": list(decided.held),
            },
        )  # fmt: skip
        _open(connection)
    return Restored(
        manifest, len(recovered), entries, newest, learnt, heard, settled, decided, traced
    )


def _open(connection: Connection) -> None:
    """What a migration grants by default, and the end of the restore: others may write again."""
    connection.execute(
        text(
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public"
            " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reengage_tasks"
        )
    )
    name = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
    connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    connection.execute(text(f"DROP SCHEMA {MARKS} CASCADE"))
