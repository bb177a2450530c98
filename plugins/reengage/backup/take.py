"""Take: a backup of the store, of one moment, beside whatever runs.

A directory per backup, named after its instant, whole or not there. It holds the dump, the settings
without their secrets, and the files that a run reads; never a key, a journal or a checkpoint, which
go elsewhere (`aside`): who finds one of the two places opens nothing, and a data key that is
destroyed is destroyed for every dump, too (ADR 0045).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, text

from reengage.backup import programs
from reengage.backup.manifest import DUMP, NAME, Manifest, measure
from reengage.errors import BackupError
from reengage.keys import Keyring
from reengage.keys.files import sync_directory
from reengage.ledger.append import read_head
from reengage.settings import PREFIX

SETTINGS = "settings.json"
FILES = ("practice.yaml", "vendors.yaml", "jurisdictions.yaml", "campaigns")
"""What a run reads of the project and a practice changes; the rest is the version's own."""
LOCK_WAIT = "60s"
_PLAIN = ("HOME", "KEYRING", "JOURNAL", "VENDORS_FILE", "RELAY_TRUST", "SMIME_TRUST",
          "RETURNS_MAILDIR", "RETURNS_SPOOL", "RETURNS_STAFF", "RETURNS_TRUST",
          "REHEARSAL_MAILDIR", "PINNED_NOW", "ACTOR", "ACTOR_REQUIRED", "KEY_SERVICE",
          "SERVICES_TRUST")  # fmt: skip
"""Settings that hold no secret."""
_PLACES = ("WAREHOUSE_URL", "STORE_URL", "ARCHIVE", "CHECKPOINTS", "MIRROR_URL", "AIRFLOW_URL",
           "RETURNS_IMAP")  # fmt: skip
"""Addresses of which the path says where, and only user, password and query may be secret. Of any
other address the path may be the secret itself, as a webhook's is."""
_RELAY = "RELAY_URL_"


@dataclass(frozen=True)
class Taken:
    """A backup that is whole."""

    directory: Path
    manifest: Manifest

    @property
    def octets(self) -> int:
        """Of all its files."""
        return sum(one.stat().st_size for one in self.directory.rglob("*") if one.is_file())


def take(engine: Engine, keyring: Keyring, home: Path, into: Path, *, now: datetime) -> Taken:
    """Back the store up below `into`. Raises BackupError where another backup is under way."""
    backup_id = f"{now:%Y%m%dT%H%M%S.%f}Z"
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(into):
        for leftover in into.glob(".*.partial"):  # of one that was killed
            shutil.rmtree(leftover)
        fresh = into / f".{backup_id}.partial"
        fresh.mkdir(mode=0o700)
        _copy_files(home, fresh)
        (fresh / SETTINGS).write_bytes(_settings(os.environ))
        manifest = _dump(engine, keyring, fresh / DUMP, backup_id)
        for one in fresh.rglob("*"):
            one.chmod(0o700 if one.is_dir() else 0o600)
        manifest = Manifest(**{**vars(manifest), "files": measure(fresh, keyring)})
        _write(fresh / NAME, manifest.to_bytes(keyring))
        whole = into / backup_id
        fresh.rename(whole)
        sync_directory(into)
    return Taken(whole, manifest)


def expire(place: Path, before: datetime) -> list[str]:
    """Remove backups that were taken before an instant, never the newest; gives their names."""
    old = [one for one in place.glob("[0-9]*Z") if one.name < f"{before:%Y%m%dT%H%M%S.%f}Z"]
    gone = sorted(one for one in old if one != newest(place))
    for one in gone:
        (one / NAME).unlink(missing_ok=True)  # first: half of one is no backup
        shutil.rmtree(one)
    return [one.name for one in gone]


def newest(place: Path) -> Path:
    """The backup itself, or the newest one below a directory of them. Raises BackupError."""
    if (place / NAME).is_file():
        return place
    found = sorted(one.parent for one in place.glob(f"[0-9]*/{NAME}"))
    if not found:
        raise BackupError(f"there is no whole backup in {place}; name another directory")
    return found[-1]


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One at a time in this place; the lock falls with its process."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(
            f"another backup to {directory} is under way; let it end, then repeat"
        ) from None
    finally:
        os.close(descriptor)


def _dump(engine: Engine, keyring: Keyring, path: Path, backup_id: str) -> Manifest:
    """Dump and head of the ledger are of one snapshot."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        manifest = _described(connection, keyring, backup_id)
        programs.run(
            "pg_dump",
            (
                "--format=custom", "--no-owner", "--no-comments", f"--snapshot={snapshot}",
                # PostgreSQL empties it after a crash for a reason, and so does a restore.
                "--no-unlogged-table-data", f"--lock-wait-timeout={LOCK_WAIT}", "--file",
            ),
            url=engine.url.render_as_string(hide_password=False),
            at_least=manifest.server,
            into=path,
        )  # fmt: skip
    return manifest


def _described(connection: Connection, keyring: Keyring, backup_id: str) -> Manifest:
    head = read_head(connection, keyring)
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    roles = connection.execute(
        text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'reengage\\_%' ORDER BY 1")
    ).scalars()
    return Manifest(
        backup_id=backup_id,
        origin=head.origin,
        entries=head.frontier.size,
        root=head.frontier.root.hex(),
        mark=keyring.pseudonym("store", "mark"),
        server=version // 10000,
        roles=tuple(roles),
    )


def _copy_files(home: Path, into: Path) -> None:
    for name in FILES:
        source, copy = home / name, into / "files" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        elif source.is_file():
            shutil.copyfile(source, copy)


def _settings(environ: Mapping[str, str]) -> bytes:
    """Every setting of ours by name; of one that may hold a secret no more than where it leads."""
    own = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    told = {name: _told(name.removeprefix(PREFIX), value) for name, value in sorted(own.items())}
    return (json.dumps(told, indent=1) + "\n").encode()


def _told(name: str, value: str) -> str:
    if name in _PLAIN:
        return value
    if name not in _PLACES and not name.startswith(_RELAY):
        return "(set)"
    if value.startswith("/"):  # a directory
        return value
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(set)"
    if not parts.scheme or not host or "@" in parts.path:  # a password that was not encoded
        return "(set)"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        path.chmod(0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
