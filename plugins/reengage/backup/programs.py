"""Programs: PostgreSQL's own pg_dump and pg_restore, of the server's version or a newer one.

From the PATH, else from the wheel of the embedded default. Where to connect, and the password, go
by the environment: the list of processes shows neither (SEC-18). What a program prints may quote a
row; only the first line of an error about rights, roles or files is told, and no other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import make_url

from reengage.embedded.postgres import wheel_programs
from reengage.errors import BackupError

WRITABLE = "-c default_transaction_read_only=off"
"""Session option of who restores: everybody else only reads until it is done."""
_VARIABLES = {
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "host": "PGHOST", "port": "PGPORT", "service": "PGSERVICE",
    "passfile": "PGPASSFILE", "channel_binding": "PGCHANNELBINDING",
}  # fmt: skip
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_TELLABLE = re.compile(
    r"permission denied[^\n\"]*|role \"[a-z_]+\" does not exist|No space left on device"
    r"|server version mismatch|must be owner of [a-z ]+"
    r"|SSL support is not compiled in|connection to server [^\n\"]*failed"
)


def run(program: str, arguments: Sequence[str], *, url: str, at_least: int, **files: Path) -> str:
    """Run one of them against the database of this URL; gives what it printed.

    Keywords are files for its standard input. Raises BackupError where there is no such program, or
    it failed.
    """
    path = found(program, at_least=at_least)
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [str(path), *arguments, *(str(file) for file in files.values())],
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupError(f"{program} failed ({_why(done.stderr)}); nothing was changed by it")
    return done.stdout


def found(program: str, *, at_least: int) -> Path:
    """The program of at least this major version. Raises BackupError where there is none."""
    on_path = shutil.which(program)
    candidates = [*([Path(on_path)] if on_path else []), *wheel_programs(program)]
    versions = {path: _version(path) for path in candidates}
    for path, version in versions.items():
        if version >= at_least:
            return path
    there = ", ".join(str(version) for version in versions.values() if version) or "none"
    raise BackupError(
        f"there is no {program} for a server of version {at_least} (found: {there}); install"
        f" PostgreSQL's client programs of version {at_least} or newer"
    )


def environment(url: str) -> dict[str, str]:
    """What libpq reads to reach the database of a SQLAlchemy URL; nothing of the caller's own."""
    parts = make_url(url)
    said: dict[str, str | None] = {
        "PGHOST": parts.host,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": parts.username,
        "PGPASSWORD": str(parts.password) if parts.password else None,
        "PGDATABASE": parts.database,
    }
    query: Mapping[str, str | tuple[str, ...]] = parts.query
    for name, value in query.items():
        if name in _VARIABLES:
            said[_VARIABLES[name]] = value if isinstance(value, str) else ",".join(value)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    told = {name: value for name, value in said.items() if value}
    return {**kept, **told, "PGOPTIONS": WRITABLE, "PGAPPNAME": "reengage backup", "LC_ALL": "C"}


def _version(path: Path) -> int:
    """Its major version; 0 where it says none, as a wrapper without a server's version does."""
    told = subprocess.run(  # noqa: S603 - a program that we found ourselves
        [str(path), "--version"], capture_output=True, text=True, check=False
    )
    match = _VERSION.search(told.stdout)
    return int(match.group(1)) if match else 0


def _why(stderr: str) -> str:
    match = _TELLABLE.search(stderr)
    return match.group(0) if match else "for a reason that is not shown, as it may quote a row"
