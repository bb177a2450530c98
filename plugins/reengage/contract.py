"""The warehouse contract: the views that every source provides, column by column.

Documented once, in sql/contract/*.yaml; the reference page, the check of a source and the
validation of campaign fields all read it from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reengage.errors import ConfigurationError
from reengage.yamlfile import load_yaml_model

Type = Literal["text", "date", "boolean", "timestamp with time zone"]


class _ColumnEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Type = Field(description="PostgreSQL type")
    nullable: bool = Field(description="whether null has a meaning")
    description: str = Field(min_length=3, description="what it holds")


class _ViewEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    view: str = Field(description="name of the view in schema contract")
    description: str = Field(description="what a row is")
    columns: dict[str, _ColumnEntry] = Field(description="its columns")


@dataclass(frozen=True)
class Column:
    """A column of a contract view."""

    view: str
    name: str
    type: Type
    nullable: bool
    description: str


@dataclass(frozen=True)
class View:
    """A contract view."""

    name: str
    description: str
    columns: tuple[Column, ...]


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
    entries = [
        load_yaml_model(path, _ViewEntry, shown_as=f"sql/contract/{path.name}")
        for path in sorted((home / "sql" / "contract").glob("*.yaml"))
    ]
    return Contract(
        tuple(
            View(
                entry.view,
                entry.description,
                tuple(
                    Column(entry.view, name, column.type, column.nullable, column.description)
                    for name, column in entry.columns.items()
                ),
            )
            for entry in entries
        )
    )


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
        lines += [f"## {view.name}", "", view.description, ""]
        lines += ["| column | type | null | what it holds |", "|---|---|---|---|"]
        lines += [
            f"| `{c.name}` | {c.type} | {'yes' if c.nullable else 'no'} | {c.description} |"
            for c in view.columns
        ]
        lines.append("")
    return "\n".join(lines)
