"""The warehouse: the clinic's database, read through the contract's views and never written.

Any SQLAlchemy URL; PostgreSQL is the reference. The role that the campaigns use may only read the
views (`grant_reader`); `check` says what a source's views get wrong before a campaign finds out.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from reengage import database
from reengage.contract import Column, Contract, View
from reengage.errors import ConfigurationError

READER = "extractor"


@dataclass(frozen=True)
class Finding:
    """What a view gets wrong, and what to do about it. Counts only, no value of a row."""

    view: str
    column: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"contract.{self.view}.{self.column}: {self.problem}; {self.remedy}"


def connect(url: str, *, connections: int | None = None) -> Engine:
    """An engine for the warehouse; sessions speak UTC, and up to so many `connections` are kept.

    Raises ConfigurationError when the URL is none, or of a database without a driver here.
    """
    return database.engine(
        url,
        setting="REENGAGE_WAREHOUSE_URL",
        connect_args=connect_args(url),
        connections=connections,
    )


def connect_args(url: str) -> dict[str, str]:
    """What every session of the warehouse is opened with, whoever opens it."""
    return {"options": "-c timezone=UTC"} if url.startswith("postgresql") else {}


def grant_reader(connection: Connection, role: str = READER) -> None:
    """Make `role` able to read the contract's views and nothing else (PRV-19)."""
    exists = connection.execute(
        text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).scalar()
    quoted = connection.dialect.identifier_preparer.quote(role)
    if not exists:
        connection.execute(text(f"CREATE ROLE {quoted} LOGIN"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA contract TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA contract TO {quoted}"))


def check(engine: Engine, contract: Contract) -> list[Finding]:
    """What the warehouse's views get wrong, measured against the contract.

    Raises ConfigurationError when the warehouse cannot be reached.
    """
    with _reached(engine) as connection:
        found = [finding for view in contract.views for finding in _check_view(connection, view)]
        return found + _all_strangers(connection, contract, found)


@contextmanager
def _reached(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise ConfigurationError(
            f"the warehouse at {engine.url.render_as_string(hide_password=True)} cannot be reached"
            f" ({type(error.orig).__name__}); start it, or mend setting REENGAGE_WAREHOUSE_URL"
        ) from None
    with connection:
        yield connection


def _check_view(connection: Connection, view: View) -> list[Finding]:
    found = connection.execute(
        text(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'contract' AND table_name = :view"
        ),
        {"view": view.name},
    )
    types = {row.column_name: row.data_type for row in found}
    if not types:
        problem = "the view is missing, or hidden from this role"
        return [Finding(view.name, "*", problem, "create it as the contract says, grant SELECT")]
    findings = []
    for column in view.columns:
        if column.name not in types:
            findings.append(Finding(view.name, column.name, "the column is missing", "add it"))
        elif types[column.name] != column.type:
            problem = f"its type is {types[column.name]}, expected {column.type}"
            findings.append(Finding(view.name, column.name, problem, "cast it in the view"))
    try:
        with connection.begin_nested():
            return findings + _row_findings(connection, view, types)
    except DBAPIError as error:
        # The driver's own words may quote a row.
        problem = f"reading it fails with {type(error.orig).__name__}"
        return [*findings, Finding(view.name, "*", problem, "mend its SELECT")]


def _row_findings(connection: Connection, view: View, present: Container[str]) -> list[Finding]:
    findings = []
    columns = [c.name for c in view.columns if not c.nullable and c.name in present]
    if columns:
        findings += _null_findings(connection, view.name, columns)
    if view.key is not None and all(name in present for name in view.key):
        findings += _key_findings(connection, view.name, view.key)
    for column in view.columns:
        if column.pattern is not None and column.name in present:
            findings += _pattern_findings(connection, column)
    return findings


def _pattern_findings(connection: Connection, column: Column) -> list[Finding]:
    """Values that no campaign would understand, such as another word for `booked`."""
    quote = connection.dialect.identifier_preparer.quote
    others = connection.execute(
        text(
            f"SELECT count(*) FROM contract.{quote(column.view)}"  # noqa: S608
            f" WHERE {quote(column.name)} !~ :pattern"
        ),
        {"pattern": f"^({column.pattern})$"},
    ).scalar_one()
    problem = f"{others} {_rows(others)} of another form than {column.pattern}"
    remedy = "write it in the view as the contract does"
    return [Finding(column.view, column.name, problem, remedy)] if others else []


def _all_strangers(
    connection: Connection, contract: Contract, found: list[Finding]
) -> list[Finding]:
    """Of the views that can be read and have a patient, those with a stranger in them."""
    unread = {f.view for f in found if f.column in ("*", "patient_key")}
    if "patient" in unread:
        return []
    return [
        finding
        for view in contract.views
        if view.name != "patient" and view.name not in unread
        if any(column.name == "patient_key" for column in view.columns)
        for finding in _stranger_findings(connection, view.name)
    ]


def _stranger_findings(connection: Connection, view: str) -> list[Finding]:
    """Rows of a patient whom view `patient` does not have: nobody is ever written to for them."""
    quote = connection.dialect.identifier_preparer.quote
    strangers = connection.execute(
        text(
            f"SELECT count(*) FROM contract.{quote(view)} AS v WHERE NOT EXISTS"  # noqa: S608
            " (SELECT 1 FROM contract.patient AS p WHERE p.patient_key = v.patient_key)"
        )
    ).scalar_one()
    problem = f"{strangers} {_rows(strangers)} of a patient whom contract.patient does not have"
    remedy = "use the same key in every view, or leave the rows out"
    return [Finding(view, "patient_key", problem, remedy)] if strangers else []


def _null_findings(connection: Connection, view: str, columns: list[str]) -> list[Finding]:
    quote = connection.dialect.identifier_preparer.quote
    counts = ", ".join(f"count(*) FILTER (WHERE {quote(c)} IS NULL)" for c in columns)
    row = connection.execute(text(f"SELECT {counts} FROM contract.{quote(view)}")).one()  # noqa: S608
    return [
        Finding(view, column, f"{nulls} {_rows(nulls)} null", "fill them, or leave the rows out")
        for column, nulls in zip(columns, row, strict=True)
        if nulls
    ]


def _key_findings(connection: Connection, view: str, key: tuple[str, ...]) -> list[Finding]:
    """Rows that share a key with another; for the empty key, whether there is exactly one row."""
    quote = connection.dialect.identifier_preparer.quote
    if not key:
        rows = connection.execute(text(f"SELECT count(*) FROM contract.{quote(view)}")).scalar_one()  # noqa: S608
        remedy = "let the view give exactly one"
        return [Finding(view, "*", f"it has {rows} rows", remedy)] if rows != 1 else []
    columns = ", ".join(quote(name) for name in key)
    extra = connection.execute(
        text(
            "SELECT coalesce(sum(rows - 1), 0) FROM (SELECT count(*) AS rows"  # noqa: S608
            f" FROM contract.{quote(view)} GROUP BY {columns} HAVING count(*) > 1) AS shared"
        )
    ).scalar_one()
    problem = f"{extra} {_rows(extra)} there again under the same key"
    remedy = "give each key one row"
    return [Finding(view, ", ".join(key), problem, remedy)] if extra else []


def _rows(count: int) -> str:
    return "row is" if count == 1 else "rows are"
