"""The warehouse contract: the views that every source provides, column by column.

Documented once, in sql/contract/*.yaml; the reference page, the check of a source and the
validation of campaign fields all read it from there. No view has a place for psychotherapy notes
(PRV-28), and what is not in it cannot be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reengage.errors import ConfigurationError
from reengage.yamlfile import FileError, Problem, load_yaml_model

# Written into SQL between quotes: nothing that could end them.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Type = Literal["text", "date", "boolean", "timestamp with time zone"]


class _ColumnEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Type = Field(description="PostgreSQL type")
    nullable: bool = Field(description="whether null has a meaning")
    description: str = Field(min_length=3, description="what it holds")
    pattern: str | None = Field(default=None, description="what a value must match, as a whole")


class _ViewEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    view: Name = Field(description="name of the view in schema contract")
    description: str = Field(description="what a row is")
    key: list[str] | None = Field(
        default=None, description="columns that are unique together; [] = the view has one row"
    )
    columns: dict[Name, _ColumnEntry] = Field(min_length=1, description="its columns")

    @model_validator(mode="after")
    def _key_is_of_its_columns(self) -> Self:
        if unknown := [name for name in self.key or [] if name not in self.columns]:
            raise ValueError(f"key names no column of the view: {', '.join(unknown)}; mend it")
        return self


@dataclass(frozen=True)
class Column:
    """A column of a contract view."""

    view: str
    name: str
    type: Type
    nullable: bool
    description: str
    pattern: str | None = None
    """POSIX regular expression that every value matches as a whole; None = any."""


@dataclass(frozen=True)
class View:
    """A contract view."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] | None = None
    """Columns that are unique together; () = the view has exactly one row, None = no promise."""


@dataclass(frozen=True)
class Contract:
    """All contract views."""

    views: tuple[View, ...]

    def column(self, name: str) -> Column:
        """The column called `view.column`. Raises ConfigurationError listing what there is."""
        view_name, _, column_name = name.partition(".")
        for view in self.views:
            if view.name == view_name:
                for column in view.columns:
                    if column.name == column_name:
                        return column
                known = ", ".join(column.name for column in view.columns)
                raise ConfigurationError(
                    f"the contract's view {view_name!r} has no column {column_name!r};"
                    f" it has {known}"
                )
        known = ", ".join(view.name for view in self.views)
        raise ConfigurationError(f"the contract has no view {view_name!r}; it has {known}")


@lru_cache(maxsize=4)
def load_contract(home: Path) -> Contract:
    """The contract of sql/contract/. Raises ConfigurationError naming file, line and fix."""
    paths = sorted((home / "sql" / "contract").glob("*.yaml"))
    entries = [_load_entry(path) for path in paths]
    if not entries:
        raise ConfigurationError("sql/contract/ holds no view; restore it")
    return Contract(
        tuple(
            View(
                entry.view,
                entry.description,
                tuple(
                    Column(
                        entry.view,
                        name,
                        column.type,
                        column.nullable,
                        column.description,
                        column.pattern,
                    )
                    for name, column in entry.columns.items()
                ),
                None if entry.key is None else tuple(entry.key),
            )
            for entry in entries
        )
    )


def _load_entry(path: Path) -> _ViewEntry:
    shown = f"sql/contract/{path.name}"
    entry = load_yaml_model(path, _ViewEntry, shown_as=shown)
    if entry.view != path.stem:  # equal names also keep two files from claiming one view
        message = f"view {entry.view!r} differs from the file's name; make them equal"
        raise FileError([Problem(shown, 1, message)])
    return entry


def render_sql(contract: Contract, reader: str) -> str:
    """The views as SQL to be filled in: what each holds beside each column, and nothing in them.

    `reader` is the role that campaigns read with; it gets the contract and nothing else (PRV-19).
    """
    lines = [
        "-- The contract's views, to be filled in: put your tables in place of `WHERE false`.",
        "-- Run it as the owner of the warehouse, then `python -m reengage warehouse check`.",
        "CREATE SCHEMA IF NOT EXISTS contract;",
    ]
    for view in contract.views:
        unique = f" Unique by {', '.join(view.key)}." if view.key else ""
        one = " One row." if view.key == () else ""
        lines += ["", f"-- {view.description}{unique}{one}"]
        lines.append(f"CREATE OR REPLACE VIEW contract.{view.name} AS SELECT")
        last = len(view.columns) - 1
        for number, column in enumerate(view.columns):
            may = "" if column.nullable else "; never null"
            comma = "" if number == last else ","
            what = " ".join(column.description.split())
            cast = f"CAST(NULL AS {column.type}) AS {column.name}{comma}"
            lines.append(f"    {cast}  -- {what}{may}")
        lines.append("WHERE false;")
    lines += [
        "",
        "-- Who the campaigns read as. Give it a password or another way to log in.",
        f"CREATE ROLE {reader} LOGIN;",
        f"GRANT USAGE ON SCHEMA contract TO {reader};",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA contract TO {reader};",
    ]
    return "\n".join(lines) + "\n"


def render_markdown(contract: Contract) -> str:
    """docs/warehouse-contract.md."""
    lines = [
        "# Warehouse contract",
        "",
        "The views in schema `contract` that every source provides and every campaign reads."
        " Written from `sql/contract/*.yaml` by `python -m reengage generate`.",
        "",
    ]
    for view in contract.views:
        lines += [f"## {view.name}", "", view.description + _unique(view), ""]
        lines += ["| column | type | null | what it holds |", "|---|---|---|---|"]
        lines += [
            f"| `{c.name}` | {c.type} | {'yes' if c.nullable else 'no'} | {c.description} |"
            for c in view.columns
        ]
        lines.append("")
    return "\n".join(lines)


def _unique(view: View) -> str:
    if not view.key:
        return ""
    return f" Unique by {', '.join(f'`{name}`' for name in view.key)}."
