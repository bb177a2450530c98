"""A generated warehouse: any number of patients, ten encounters each, behind the contract's views.

Made in the server by SQL of a number and a seed, so that equal sizes are equal warehouses. The
tables are unlogged, which only their making notices. Tables and views are written from
sql/contract/, so that a column that the contract gains is there, as null, until sql/ here fills it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from reengage.contract import View, load_contract
from reengage.embedded import postgres
from reengage.settings import HOME
from sqlalchemy import Connection, Engine, create_engine, text

SQL = Path(__file__).parent / "sql"
DAY = date(2026, 6, 1)
ZONE = ZoneInfo("America/Chicago")
VISITS_PER_PATIENT = 10
SERVER_SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "1GB",
    "effective_cache_size": "12GB",
    "max_parallel_workers_per_gather": "2",
    "max_parallel_maintenance_workers": "2",
    "random_page_cost": "1.1",
    "max_wal_size": "8GB",
    "autovacuum": "off",  # done once, by hand, so that none of it falls into a measurement
}
"""What a warehouse of this size is given; the same for what is measured and for its baseline."""


def midnight(day: date) -> datetime:
    """The end of `day` in the practice's time zone."""
    return datetime.combine(day + timedelta(days=1), time(), ZONE)


def noon(day: date) -> datetime:
    """An instant of `day` at which the practice is awake."""
    return datetime.combine(day, time(12), ZONE).astimezone(UTC)


@dataclass(frozen=True)
class Warehouse:
    """One generated warehouse, a database of its own."""

    patients: int
    url: str

    @property
    def visits(self) -> int:
        """Encounters it was generated with."""
        return self.patients * VISITS_PER_PATIENT

    def engine(self) -> Engine:
        """Connections that commit each statement."""
        return create_engine(self.url, isolation_level="AUTOCOMMIT")

    def execute(self, *statements: str, **parameters: object) -> None:
        """Each statement by itself."""
        engine = self.engine()
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement), parameters)
        engine.dispose()

    def another_day(self, day: date) -> None:
        """One per cent of new encounters, all of `day`."""
        first = self.visits + 1
        self.execute(
            _sql("another_day.sql"),
            first=first,
            last=self.visits + self.visits // 100,
            patients=self.patients,
            opens=midnight(day - timedelta(days=1)),
        )
        self.execute("UPDATE source.load SET data_until = :until", until=midnight(day))
        self.execute("ANALYZE source.visit")


@contextmanager
def server(directory: Path) -> Iterator[postgres.Postgres]:
    """A PostgreSQL with the settings of a warehouse."""
    with postgres.running(directory):  # makes it, with the settings of the embedded default
        pass
    with (directory / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in SERVER_SETTINGS.items())
    with postgres.running(directory) as running:
        yield running


def generate(running: postgres.Postgres, patients: int) -> Warehouse:
    """A warehouse of `patients`, indexed and analyzed."""
    made = Warehouse(patients, running.url(f"warehouse_{patients}"))
    _administer(running, f"CREATE DATABASE warehouse_{patients}")
    _fill(made)
    return made


def make_contract(connection: Connection) -> None:
    """The contract as tables, empty, where no views over a source are measured."""
    connection.execute(text("CREATE SCHEMA contract"))
    for view in load_contract(HOME).views:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in view.columns)
        connection.execute(text(f'CREATE UNLOGGED TABLE contract."{view.name}" ({columns})'))


def drop(running: postgres.Postgres, warehouse: Warehouse) -> None:
    """Give its room on the disk back."""
    _administer(running, f"DROP DATABASE warehouse_{warehouse.patients} WITH (FORCE)")


def _administer(running: postgres.Postgres, statement: str) -> None:
    engine = create_engine(running.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _fill(made: Warehouse) -> None:
    """Encounters in two halves, one per core, and everything about people behind the second."""
    made.execute(*_statements("draws.sql"))
    for view in load_contract(HOME).views:
        made.execute(*_table_and_view(view))
    until = midnight(DAY)
    half = made.visits // 2
    visit = partial(made.execute, _sql("visit.sql"), patients=made.patients, until=until)
    people = partial(_people, made, until)
    with ThreadPoolExecutor(2) as pool:
        work = [
            pool.submit(visit, first=1, last=half),
            pool.submit(visit, first=half + 1, last=made.visits),
            pool.submit(people),
        ]
        for one in work:
            one.result()
        list(pool.map(made.execute, _statements("indexes.sql")))
    made.execute("VACUUM ANALYZE")


def _people(made: Warehouse, until: datetime) -> None:
    made.execute(
        "SET timezone = 'UTC'", *_statements("people.sql"), patients=made.patients, until=until
    )


def _table_and_view(view: View) -> list[str]:
    columns = ", ".join(f'"{column.name}" {column.type}' for column in view.columns)
    names = ", ".join(f'"{column.name}"' for column in view.columns)
    return [
        "CREATE SCHEMA IF NOT EXISTS contract",
        f'CREATE UNLOGGED TABLE source."{view.name}" ({columns})',
        f'CREATE VIEW contract."{view.name}" AS SELECT {names} FROM source."{view.name}"',
    ]


def _sql(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def _statements(name: str) -> list[str]:
    return [one for one in _sql(name).split(";\n") if one.strip()]
