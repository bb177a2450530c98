"""The statements of a day, asked of a warehouse without a run: the cohort, and whom it is about."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

from reengage.campaigns import load_campaigns
from reengage.contract import load_contract
from reengage.pipeline.asking import asking
from reengage.pipeline.extract import candidate_statement
from reengage.practice import load_practice
from reengage.settings import HOME
from reengage.sql import load_sql
from sqlalchemy import Connection, text

CAMPAIGNS = {campaign.slug: campaign for campaign in load_campaigns(HOME)[0]}


def ask(
    connection: Connection, statement: str, day: date, slug: str = "health_education"
) -> list[dict[str, object]]:
    """What the warehouse answers as of the end of that day."""
    run: Any = SimpleNamespace(
        campaign=CAMPAIGNS[slug],
        day=day,
        settings=SimpleNamespace(home=HOME),
        practice=load_practice(HOME / "practice.yaml"),
    )
    return [dict(row) for row in connection.execute(text(statement), asking(run)).mappings()]


def keys(rows: list[dict[str, object]]) -> set[object]:
    """Their patients; each is there once."""
    found = [row["patient_key"] for row in rows]
    assert len(found) == len(set(found))
    return set(found)


def cohort(relation: str) -> str:
    """`living` or `inactive`."""
    return f"WITH {load_sql(HOME, 'extract/parts/cohort.sql')} SELECT patient_key FROM {relation}"


def candidates(slug: str) -> str:
    """A campaign's own statement."""
    return candidate_statement(CAMPAIGNS[slug], load_contract(HOME), HOME)
