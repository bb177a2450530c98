"""Loading a source: its rows become the contract's views, all of them or nothing.

One transaction builds the new source beside the old one, a second, short one swaps them: a fault in
the last row of the last file leaves the warehouse as it was, and whoever reads meanwhile sees all
of the old or all of the new. In one transaction a reader with an older snapshot (REPEATABLE READ)
would find the new tables, and no row of theirs.

A source is a `Source`: a name, tables with rows from any iterable, the files that these come from,
and a folder sql/sources/<name>/ with four scripts. They run in the schema `<name>_next`, so tables
need no schema's name; views of the contract are made in `contract_next`. In order:

1. `1_tables.sql` makes the tables. `load`, `states` and `sensitive_medicines` are there already
   (sql/sources/parts/begin.sql). Then the rows come in, by COPY, table after table.
2. `2_faults.sql`, one SELECT: rows that contradict one another, as file (or the name of the table,
   for its origin), line, field and fault. The first one is raised.
3. `3_derived.sql` derives what is needed, and makes indexes.
4. `4_contract.sql` makes every view of the contract.

All may ask current_setting('reengage.time_zone') and ('reengage.age_of_majority'), as practice.yaml
has them, and ('reengage.place'), the practice's name and address. What sources share is in
sql/sources/parts/, by `-- include:`.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, text

from reengage.errors import SourceDataError, StoreError
from reengage.practice import load_practice
from reengage.settings import HOME
from reengage.sources.csvfile import CsvTable, read_rows
from reengage.sql import load_sql
from reengage.warehouse import grant_reader

SWAP_PATIENCE_SECONDS = 600.0
"""How long a load waits for a moment in which nobody reads the old source."""
_LOAD_LOCK = 7110003  # of PostgreSQL's advisory locks, per database; any number of our own


@dataclass(frozen=True)
class Table:
    """A table of the source's schema and its rows, which are read once, in order.

    A row has a value for each of `columns`; what comes as text is cast by PostgreSQL.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Sequence[Any]]
    origin: str
    """The file that an error names."""


@dataclass(frozen=True)
class Source:
    """A kind of source. `tables` may be a generator: a table is asked for when the last is in."""

    name: str
    tables: Callable[[Path], Iterable[Table]]
    files: Callable[[Path], Iterable[Path]]
    """Those that are read, in a fixed order; one that is missing may be among them."""
    place: str = "column"
    """What a field of 2_faults.sql is called in an error."""


@dataclass(frozen=True)
class LoadReport:
    """Rows per table."""

    tables: dict[str, int]


def csv_table(name: str, directory: Path, table: CsvTable) -> Table:
    """A table of a CSV file: its columns in lower case, and `line`, on which a row begins."""
    columns = ("line", *(column.header.lower() for column in table.columns))
    rows = ([line, *row] for line, row in read_rows(directory, table))
    return Table(name, columns, rows, table.file)


def load(engine: Engine, source: Source, directory: Path, home: Path = HOME) -> LoadReport:
    """Replace whatever the warehouse holds by the source in `directory`.

    Raises SourceDataError naming file, line, column and fix, StoreError when the warehouse's
    readers leave no moment for the swap; the warehouse is then unchanged.
    """
    with engine.connect() as connection:
        connection.detach()  # its session ends with the load, and so does the lock
        with connection.begin():  # two loads of one warehouse take turns
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOAD_LOCK})
        with connection.begin():
            report = _build(connection, source, directory, home)
        _swap(connection, source, home)
    return report


def already_loaded(engine: Engine, source: Source, directory: Path, home: Path = HOME) -> bool:
    """Whether the warehouse holds this very export, by these very views."""
    with engine.connect() as connection:
        for table in (f"{source.name}.load", "contract.load"):
            found = connection.execute(text("SELECT to_regclass(:name)"), {"name": table}).scalar()
            if found is None:
                return False
        loaded = connection.execute(text(f"SELECT directory_sha256 FROM {source.name}.load"))  # noqa: S608
        return bool(loaded.scalar() == directory_digest(source, directory, home))


def directory_digest(source: Source, directory: Path, home: Path = HOME) -> str:
    """SHA-256 over the files that are read and all of ours that turns them into views."""
    folders = [home / "sql" / "sources" / name for name in (source.name, "parts")]
    ours = [path for folder in folders for path in sorted(folder.glob("*.sql"))]
    sums = hashlib.sha256("\0".join(_practice(home).values()).encode())
    for path in [*source.files(directory), *ours, _sensitive_path(home)]:
        if path.is_file():
            with path.open("rb") as handle:
                sums.update(hashlib.file_digest(handle, "sha256").digest())
    return sums.hexdigest()


def _build(connection: Connection, source: Source, directory: Path, home: Path) -> LoadReport:
    digest = directory_digest(source, directory, home)  # before the reading: a change is noticed
    _set(connection, {"reengage.source": source.name, **_practice(home)})
    _run(connection, home, "parts/begin")
    _copy(connection, _sensitive_medicines(home))
    _run(connection, home, f"{source.name}/1_tables")
    counts: dict[str, int] = {}
    origins: dict[str, str] = {}
    for table in source.tables(directory):
        origins[table.name] = table.origin
        counts[table.name] = _copy(connection, table)
    _require_sound(connection, source, home, origins)
    _run(connection, home, f"{source.name}/3_derived")
    _run(connection, home, f"{source.name}/4_contract")
    connection.execute(
        text("INSERT INTO load VALUES (:source, :digest, now())"),
        {"source": source.name, "digest": digest},
    )
    return LoadReport(counts)


def _require_sound(
    connection: Connection, source: Source, home: Path, origins: dict[str, str]
) -> None:
    statement = load_sql(home, f"sources/{source.name}/2_faults.sql")
    for found in connection.execute(text(statement)):
        raise SourceDataError(
            f"{origins.get(found.file, found.file)} line {found.line},"
            f" {source.place} {found.field}: {found.fault}"
        )


def _swap(connection: Connection, source: Source, home: Path) -> None:
    """Put what was built in force as soon as nobody is in the middle of reading the old."""
    deadline = monotonic() + SWAP_PATIENCE_SECONDS
    while True:
        try:
            with connection.begin():
                _set(connection, {"reengage.source": source.name})
                _run(connection, home, "parts/swap")
                grant_reader(connection)
            return
        except psycopg.errors.LockNotAvailable:
            if monotonic() > deadline:
                raise StoreError(
                    "the warehouse was being read for"
                    f" {SWAP_PATIENCE_SECONDS / 60:.0f} minutes without a pause, nothing was"
                    " changed; end the session that reads it, then load again"
                ) from None


def _practice(home: Path) -> dict[str, str]:
    practice = load_practice(home / "practice.yaml")
    return {
        "reengage.time_zone": practice.time_zone,
        "reengage.age_of_majority": str(practice.age_of_majority),
        "reengage.place": f"{practice.name}, {practice.postal_address.line}",
    }


def _set(connection: Connection, values: dict[str, str]) -> None:
    """Settings of ours, until the transaction ends: parameters of scripts of many statements."""
    for name, value in values.items():
        connection.execute(
            text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value}
        )


def _run(connection: Connection, home: Path, name: str) -> None:
    # The driver's own cursor: several statements at once, and percent signs as they stand.
    with _driver(connection).cursor() as cursor:
        cursor.execute(load_sql(home, f"sources/{name}.sql"))


def _copy(connection: Connection, table: Table) -> int:
    count = 0
    columns = SQL(", ").join(map(Identifier, table.columns))
    statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), columns)
    try:
        with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
            for row in table.rows:
                copy.write_row(row)
                count += 1
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # PostgreSQL's own words quote the row.
        raise SourceDataError(
            f"{table.origin}: PostgreSQL takes one of its rows for {type(error).__name__}"
            f" (SQLSTATE {error.sqlstate}), which the checks of this file should have named;"
            " please report it"
        ) from None
    return count


def _driver(connection: Connection) -> Any:
    """psycopg's own connection, for COPY."""
    return connection.connection.dbapi_connection


def _sensitive_path(home: Path) -> Path:
    return home / "sql" / "contract" / "sensitive_medicines.csv"


def _sensitive_medicines(home: Path) -> Table:
    path = _sensitive_path(home)
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [list(row.values()) for row in csv.DictReader(handle)]
    return Table("sensitive_medicines", ("ingredient", "class", "atc"), rows, path.name)
