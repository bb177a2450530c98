"""The warehouse: the clinic's database, read through the contract's views and never written.

Any SQLAlchemy URL; PostgreSQL is the reference. The role that the campaigns use may only read the
views (`grant_reader`); `check` says what a source's views get wrong before a campaign finds out.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from reengage.contract import Contract, View

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


def connect(url: str) -> Engine:
    """An engine for the warehouse. Sessions speak UTC; connections are opened per use."""
    return create_engine(
        url,
        hide_parameters=True,
        poolclass=NullPool,
        connect_args=connect_args(url),
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
    """What the warehouse's views get wrong, measured against the contract."""
    with engine.connect() as connection:
        return [finding for view in contract.views for finding in _check_view(connection, view)]


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
        return [Finding(view.name, "*", "the view is missing", "create it as the contract says")]
    findings = []
    for column in view.columns:
        if column.name not in types:
            findings.append(Finding(view.name, column.name, "the column is missing", "add it"))
        elif types[column.name] != column.type:
            problem = f"its type is {types[column.name]}, expected {column.type}"
            findings.append(Finding(view.name, column.name, problem, "cast it in the view"))
    present = [c.name for c in view.columns if not c.nullable and c.name in types]
    return findings + _null_findings(connection, view.name, present)


def _null_findings(connection: Connection, view: str, columns: list[str]) -> list[Finding]:
    quote = connection.dialect.identifier_preparer.quote
    counts = ", ".join(f"count(*) FILTER (WHERE {quote(c)} IS NULL)" for c in columns)
    row = connection.execute(text(f"SELECT {counts} FROM contract.{quote(view)}")).one()  # noqa: S608
    return [
        Finding(view, column, f"{nulls} rows are null", "fill them, or leave the rows out")
        for column, nulls in zip(columns, row, strict=True)
        if nulls
    ]
