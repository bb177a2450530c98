"""Who may be written to: the case table, every case decided in one extraction per campaign."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from daily import Practice, dry_practice
from eligibility import APPOINTMENT, CALENDAR, MARKETING, MEDICATION, fill, home_of_cases
from eligibility_people import CASES
from reengage import staging
from reengage.cli.compliance import load_rules
from reengage.embedded import postgres
from reengage.pipeline.extract import ENVELOPE, Extracted, extract
from reengage.pipeline.run import Run
from reengage.settings import HOME
from seal_faults import FAULTY, LACKING
from world import NOW

CAMPAIGNS = (*CALENDAR, APPOINTMENT, MEDICATION)


@dataclass(frozen=True)
class Day:
    """One campaign's day, decided."""

    run: Run
    counts: Extracted
    reasons: dict[str, tuple[str, ...]]
    """By name of the case; whoever is no candidate is not in it."""
    notes: dict[str, tuple[str, ...]]
    staged: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def days(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Day]]:
    """All cases in one warehouse, and every campaign's day on it."""
    directory = tmp_path_factory.mktemp("eligibility")
    with dry_practice(server, directory) as practice:
        practice.settings = replace(practice.settings, home=home_of_cases(directory / "home"))
        practice.world.execute("UPDATE contract.load SET data_until = :t", t=NOW + timedelta(5))
        names = fill(practice.world, CASES)
        yield {campaign: _day(practice, campaign, names) for campaign in CAMPAIGNS}


def _day(practice: Practice, campaign: str, names: dict[str, str]) -> Day:
    run = practice.open(campaign, dry=True)
    counts = extract(run)
    decided = {
        row["patient"]: row
        for row in practice.rows("SELECT * FROM decision WHERE run_id = :r", r=run.run_id)
    }
    found = {
        name: decided[p] for key, name in names.items() if (p := run.pseudonym(key)) in decided
    }
    with run.store.connect() as connection:
        numbers = staging.part_numbers(connection, run.run_id)
        parts = list(staging.read_parts(connection, run.data_key, numbers))
    return Day(
        run,
        counts,
        {name: tuple(row["reasons"]) for name, row in found.items()},  # type: ignore[arg-type]
        {name: tuple(row["notes"]) for name, row in found.items()},  # type: ignore[arg-type]
        {names[row["patient_key"]]: row for part in parts for row in part},
    )


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_case_is_decided_as_its_rule_says(campaign: str, days: dict[str, Day]) -> None:
    """Each at its boundary, on both sides; the rules are named by the cases."""
    day = days[campaign]
    cases = [one for one in CASES if campaign in one.campaigns]
    expected = {one.name: one.reasons for one in cases}
    assert {name: day.reasons.get(name) for name in expected} == expected
    notes = {one.name: one.notes for one in cases if one.reasons is not None}
    assert {name: day.notes[name] for name in notes} == notes
    # Of the excluded no row is staged, of the eligible exactly one with exactly these columns.
    eligible = {one.name for one in cases if one.reasons == ()}
    assert eligible == {one.name for one in cases} & set(day.staged)
    columns = {*ENVELOPE, *day.run.campaign.sources()}
    assert {frozenset(row) for row in day.staged.values()} == {frozenset(columns)}
    assert day.counts.candidates == len(day.reasons)
    assert day.counts.eligible == len(day.staged)


def test_the_letter_goes_to_the_address_that_counts(days: dict[str, Day]) -> None:
    """PRV-15, PRV-21: of two parents the one who signed, and the address that was asked for."""
    rows = days["health_education"].staged
    for name in ("17, a parent signed", "17, the other parent is blocked",
                 "17, the other parent is limited", "17, the other parent acts for all, too",
                 "17, a parent signed, then a limited one",
                 "17, each parent signed, the older form is no other"):  # fmt: skip
        assert rows[name]["recipient"] == "parent@example.org"
    for name in ("17, a limited parent signed, then the other",
                 "17, each parent signed, the newest counts"):  # fmt: skip
        assert rows[name]["recipient"] == "a@example.org"
    for campaign in MARKETING:  # it is the opt-in to e-mail that says whose address it is
        row = days[campaign].staged["17, each parent signed for one purpose"]
        assert row["recipient"] == "parent@example.org"
    for name in (
        "asked for another address",
        "asked for another address, the first never confirmed",
    ):
        assert rows[name]["recipient"] == "quiet@example.org"
    assert rows["18 today, a blocked parent counts no longer"]["recipient"].startswith("case")


def test_the_form_that_counts_is_cited(days: dict[str, Day]) -> None:
    """PRV-01, PRV-08: a sound one before a faulty one, then the newest; marketing's own first."""
    education = days["health_education"].staged
    for name in ("two sound forms", "revoked, then signed anew"):
        assert education[name]["authorization_key"] == "newer"
    for name in ("a newer form is at fault, an older one sound", "nothing against it"):
        assert education[name]["authorization_key"].startswith("authorization-case")
    for campaign in MARKETING:
        cited = {row["authorization_key"] for row in days[campaign].staged.values()}
        assert all(key.startswith("marketing-case") for key in cited)


def test_the_medicine_that_may_be_named_is_chosen(days: dict[str, Day]) -> None:
    """PRV-32."""
    row = days[MEDICATION].staged["prescription: a sensitive one, and another"]
    assert row["medication_key"].startswith("medication-case")


# --- the table itself ---

NEEDS_THE_STORE = {
    "address_suppressed", "address_lost", "complained", "already_written", "frequency_cap",
}  # fmt: skip
ONLY_LATER = {"deceased"}
"""Whoever died by the day is no candidate; the last look and `why` tell it."""


def test_every_reason_of_the_warehouse_has_a_case() -> None:
    page = (HOME / "docs" / "reasons.md").read_text()
    table = page.split("## Excluded")[1].split("\n## ")[0]
    codes = set(re.findall(r"^\| `([a-z0-9_]+)` \|", table, re.MULTILINE))
    told = {reason for one in CASES for reason in one.reasons or ()}
    of_seals = {*FAULTY, *LACKING}  # cases of their own, in test_sealed_letters.py
    assert told | of_seals == codes - NEEDS_THE_STORE - ONLY_LATER


def test_every_case_has_a_name_of_its_own_and_cites_rules_that_there_are() -> None:
    assert len({one.name for one in CASES}) == len(CASES) >= 100
    rules = set(load_rules(HOME).rules)
    assert {one.name: one.rules for one in CASES if not one.rules or set(one.rules) - rules} == {}
