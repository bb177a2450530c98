"""Statements: which SQL a task asks the warehouse, and which columns of the contract that reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.lineage.reads import columns_read
from reengage.lineage.tables import Field
from reengage.sql import load_sql

_DECIDING = (
    "extract/parts/cohort.sql", "extract/parts/standing.sql", "extract/parts/envelope.sql",
)  # fmt: skip
_ALSO: Mapping[str, tuple[str, ...]] = {
    "extract": ("extract/population.sql", "extract/refusals.sql"),
    "gate": ("gate/cohort.sql", "gate/source.sql"),
    "send": ("extract/last_look.sql",),
}
_STATED_IN_CODE: Mapping[str, frozenset[str]] = {
    "extract": frozenset({"load.loaded_at"}),
    "gate": frozenset({"load.loaded_at"}),
}
"""What a room asks in a line of its own: which load it saw."""

_TABLE = re.compile(r"CREATE TEMPORARY TABLE (\w+) \((.*?)\n\)", re.DOTALL)
_COLUMN = re.compile(r"(\w+) (text|boolean|bigint)")


def statements_of(task: str, campaign: Campaign) -> list[str]:
    """Files below sql/ that the task asks the warehouse with."""
    files = [*_ALSO.get(task, ())]
    if task == "extract":
        files += [*_DECIDING, f"extract/{campaign.audience}"]
    if task == "gate" and campaign.suites.audience:
        files.append("gate/expected.sql")
    return files


def asked(task: str, campaign: Campaign, contract: Contract, home: Path) -> frozenset[str]:
    """Columns of the contract that the task reads."""
    found = set(_STATED_IN_CODE.get(task, ()))
    for name in statements_of(task, campaign):
        found |= _read(home, name, contract)
    if task == "extract":
        found |= set(campaign.sources())
    return frozenset(found)


def deciding(campaign: Campaign, contract: Contract, home: Path) -> frozenset[str]:
    """Columns that the extraction's SQL reads to find and decide candidates."""
    files = [*_DECIDING, f"extract/{campaign.audience}"]
    return frozenset().union(*(_read(home, name, contract) for name in files))


def facts_of_the_gate(home: Path) -> dict[str, tuple[Field, ...]]:
    """The tables that the gate fills with counts and yes/no, and their columns."""
    found = _TABLE.findall(load_sql(home, "gate/session.sql"))
    return {
        name: tuple(
            Field(column, kind, "a fact that the gate checks")
            for column, kind in _COLUMN.findall(body)
        )
        for name, body in found
    }


def _read(home: Path, name: str, contract: Contract) -> frozenset[str]:
    return _columns(load_sql(home, name), contract)


@lru_cache(maxsize=64)
def _columns(sql: str, contract: Contract) -> frozenset[str]:
    return columns_read(sql, contract)
