"""Synthea: its CSV export, as it is, becomes the contract's views, all of it or nothing.

One transaction builds the new source beside the old one, a second, short one swaps them: a fault in
the last row of the last file leaves the warehouse as it was, and whoever reads meanwhile sees all
of the old or all of the new. In one transaction a reader with an older snapshot (REPEATABLE READ)
would find the new tables, and no row of theirs. Columns that the contract does not need (social
security numbers among them) are not loaded at all (PRV-18).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text

from reengage.errors import SourceDataError, StoreError
from reengage.settings import HOME
from reengage.sources.csvfile import CsvColumn, CsvTable, read_rows
from reengage.sql import load_sql
from reengage.warehouse import grant_reader

SWAP_PATIENCE_SECONDS = 600.0
"""How long a load waits for a moment in which nobody reads the old source."""
_LOAD_LOCK = 7110003  # of PostgreSQL's advisory locks, per database; any number of our own

TABLES = {
    "patients": CsvTable(
        "patients.csv",
        (
            CsvColumn("Id"),
            CsvColumn("BIRTHDATE", "date"),
            CsvColumn("DEATHDATE", "date", required=False),
            CsvColumn("FIRST"),
            CsvColumn("LAST"),
            CsvColumn("ETHNICITY", required=False),
            CsvColumn("STATE", required=False),
            CsvColumn("ZIP", required=False),
        ),
    ),
    "organizations": CsvTable(
        "organizations.csv",
        (
            CsvColumn("Id"),
            CsvColumn("NAME"),
            CsvColumn("ADDRESS", required=False),
            CsvColumn("CITY", required=False),
        ),
    ),
    "encounters": CsvTable(
        "encounters.csv",
        (
            CsvColumn("Id"),
            CsvColumn("START", "instant"),
            CsvColumn("STOP", "instant", required=False),
            CsvColumn("PATIENT"),
            CsvColumn("ORGANIZATION"),
            CsvColumn("ENCOUNTERCLASS"),
        ),
    ),
    "medications": CsvTable(
        "medications.csv",
        (
            CsvColumn("START", "instant"),
            CsvColumn("STOP", "instant", required=False),
            CsvColumn("PATIENT"),
            CsvColumn("ENCOUNTER"),
            CsvColumn("CODE"),
            CsvColumn("DESCRIPTION"),
        ),
    ),
}


@dataclass(frozen=True)
class LoadReport:
    """Rows per table."""

    tables: dict[str, int]


def load(engine: Engine, directory: Path) -> LoadReport:
    """Replace the source by the export in `directory`.

    Raises SourceDataError naming file, line, column and fix, StoreError when the warehouse's
    readers leave no moment for the swap; the warehouse is then unchanged.
    """
    with engine.connect() as connection:
        connection.detach()  # its session ends with the load, and so does the lock
        with connection.begin():  # two loads of one warehouse take turns
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOAD_LOCK})
        with connection.begin():
            report = _build(connection, directory)
        _swap(connection)
    return report


def already_loaded(engine: Engine, directory: Path) -> bool:
    """Whether the warehouse holds this very export, by these very views."""
    with engine.connect() as connection:
        for table in ("synthea.load", "contract.load"):
            found = connection.execute(text("SELECT to_regclass(:name)"), {"name": table}).scalar()
            if found is None:
                return False
        digest = connection.execute(text("SELECT directory_sha256 FROM synthea.load")).scalar()
    return bool(digest == directory_digest(directory))


def directory_digest(directory: Path) -> str:
    """SHA-256 over the files that are read and the SQL that turns them into views."""
    sums = hashlib.sha256()
    files = [directory / table.file for table in TABLES.values()]
    ours = [*sorted((HOME / "sql" / "sources" / "synthea").glob("*.sql")), _sensitive_path()]
    for path in [*files, *ours]:
        if path.is_file():
            with path.open("rb") as handle:
                sums.update(hashlib.file_digest(handle, "sha256").digest())
    return sums.hexdigest()


def _build(connection: Connection, directory: Path) -> LoadReport:
    digest = directory_digest(directory)  # before the reading: a later change is then noticed
    _run(connection, "1_tables")
    counts = {}
    for name, table in TABLES.items():
        rows = ([line, *row] for line, row in read_rows(directory, table))
        counts[name] = _copy(connection, f"synthea_next.{name}", table.file, rows)
    _copy(
        connection,
        "synthea_next.sensitive_medicines",
        _sensitive_path().name,
        _sensitive_medicines(),
    )
    _require_sound(connection)
    _run(connection, "3_derived")
    _run(connection, "4_contract")
    connection.execute(
        text("INSERT INTO synthea_next.load VALUES ('synthea', :digest, now())"),
        {"digest": digest},
    )
    return LoadReport(counts)


def _require_sound(connection: Connection) -> None:
    statement = load_sql(HOME, "sources/synthea/2_faults.sql")
    for found in connection.execute(text(statement)):
        raise SourceDataError(
            f"{found.file} line {found.line}, column {found.field}: {found.fault}"
        )


def _swap(connection: Connection) -> None:
    """Put what was built in force as soon as nobody is in the middle of reading the old."""
    deadline = monotonic() + SWAP_PATIENCE_SECONDS
    while True:
        try:
            with connection.begin():
                _run(connection, "5_swap")
                grant_reader(connection)
            return
        except psycopg.errors.LockNotAvailable:
            if monotonic() > deadline:
                raise StoreError(
                    "the warehouse was being read for"
                    f" {SWAP_PATIENCE_SECONDS / 60:.0f} minutes without a pause, nothing was"
                    " changed; end the session that reads it, then load again"
                ) from None


def _run(connection: Connection, name: str) -> None:
    # The driver's own cursor: several statements at once, and percent signs as they stand.
    with _driver(connection).cursor() as cursor:
        cursor.execute(load_sql(HOME, f"sources/synthea/{name}.sql"))


def _copy(
    connection: Connection, table: str, file: str, rows: Iterable[list[str | int | None]]
) -> int:
    count = 0
    try:
        with (
            _driver(connection).cursor() as cursor,
            cursor.copy(f"COPY {table} FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
                count += 1
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # PostgreSQL's own words quote the row.
        raise SourceDataError(
            f"{file}: PostgreSQL takes one of its rows for {type(error).__name__}"
            f" (SQLSTATE {error.sqlstate}), which the checks of this file should have named;"
            " please report it"
        ) from None
    return count


def _driver(connection: Connection) -> Any:
    """psycopg's own connection, for COPY."""
    return connection.connection.dbapi_connection


def _sensitive_path() -> Path:
    return HOME / "sql" / "contract" / "sensitive_medicines.csv"


def _sensitive_medicines() -> Iterable[list[str | int | None]]:
    with _sensitive_path().open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            yield [row["ingredient"], row["class"], row["atc"]]
