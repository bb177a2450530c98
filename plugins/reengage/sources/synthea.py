"""Synthea: its CSV export, as it is, becomes the contract's views, all of it or nothing.

One transaction replaces the whole source: a fault in the last row of the last file leaves the
warehouse as it was. Columns that the contract does not need (social security numbers among them)
are not loaded at all (PRV-18).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from reengage.settings import HOME
from reengage.sources.csvfile import CsvColumn, CsvTable, read_rows
from reengage.sql import load_sql
from reengage.warehouse import grant_reader

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
        key="Id",
    ),
    "organizations": CsvTable(
        "organizations.csv",
        (
            CsvColumn("Id"),
            CsvColumn("NAME"),
            CsvColumn("ADDRESS", required=False),
            CsvColumn("CITY", required=False),
        ),
        key="Id",
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
        key="Id",
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

    Raises SourceDataError naming file, line, column and fix; the warehouse is then unchanged.
    """
    with engine.begin() as connection:
        _run(connection, "1_tables")
        counts = {
            name: _copy(connection, f"synthea.{name}", read_rows(directory, table))
            for name, table in TABLES.items()
        }
        _copy(connection, "synthea.sensitive_medicines", _sensitive_medicines())
        _run(connection, "2_derived")
        _run(connection, "3_contract")
        connection.execute(
            text("INSERT INTO synthea.load VALUES ('synthea', :digest, now())"),
            {"digest": directory_digest(directory)},
        )
        grant_reader(connection)
    return LoadReport(counts)


def already_loaded(engine: Engine, directory: Path) -> bool:
    """Whether the warehouse holds this very export, by these very views."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('synthea.load')")).scalar() is None:
            return False
        found = connection.execute(text("SELECT directory_sha256 FROM synthea.load")).scalar()
    return bool(found == directory_digest(directory))


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


def _run(connection: Connection, name: str) -> None:
    # The driver's own cursor: several statements at once, and percent signs as they stand.
    with _driver(connection).cursor() as cursor:
        cursor.execute(load_sql(HOME, f"sources/synthea/{name}.sql"))


def _copy(connection: Connection, table: str, rows: Iterable[list[str | None]]) -> int:
    count = 0
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _driver(connection: Connection) -> Any:
    """psycopg's own connection, for COPY."""
    return connection.connection.driver_connection


def _sensitive_path() -> Path:
    return HOME / "sql" / "contract" / "sensitive_medicines.csv"


def _sensitive_medicines() -> Iterable[list[str | None]]:
    with _sensitive_path().open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            yield [row["ingredient"], row["class"], row["atc"]]
