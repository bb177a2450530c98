"""A birth on 29 February comes of age on 1 March of a year that has no such day: extraction and
gate hold the same day for it (PRV-16)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from daily import Practice, dry_practice
from eligibility import BY_PARENT, CHICAGO, PARENT, home_of_cases
from gates import batch_of, verdicts
from reengage.embedded import postgres
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate

LEAP_DAY = date(2004, 2, 29)
LAST_OF_17, FIRST_OF_18 = date(2022, 2, 28), date(2022, 3, 1)
OWN = "own@example.org"


@pytest.fixture(scope="module")
def practice(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    """Two of whom nothing is known but the birth: one signed, for the other a parent did."""
    directory = tmp_path_factory.mktemp("age")
    with dry_practice(server, directory) as made:
        made.settings = replace(made.settings, home=home_of_cases(directory / "home"))
        signed = datetime(2022, 3, 1, tzinfo=CHICAGO)
        years_ago = signed - timedelta(days=900)
        for key, form in (
            ("signs", {"signed_at": signed}),
            ("parents child", {"signed_at": years_ago, **BY_PARENT}),
        ):
            made.world.patient(
                key,
                patient={"birth_date": LEAP_DAY},
                contact={"email": OWN, "verified_at": years_ago},
                visit={"start_at": years_ago},
                authorization=form,
                appointment=None,
                medication=None,
            )
            parent = {**PARENT, "verified_at": years_ago}
            made.world.set("representative", patient_key=key, **parent)
        yield made


@pytest.mark.parametrize(
    ("day", "expected", "addressed"),
    [
        (
            LAST_OF_17,
            {"signs": ["no_authorization", "minor_without_representative"], "parents child": []},
            {"parents child": PARENT["email"]},
        ),
        (
            FIRST_OF_18,
            {"signs": [], "parents child": ["authorization_signer"]},
            {"signs": OWN},
        ),
    ],
)
def test_the_day_decides_who_is_written_to(
    day: date, expected: dict[str, list[str]], addressed: dict[str, str], practice: Practice
) -> None:
    run = practice.open(day=day, dry=True)
    extract(run)
    assert practice.reasons(run) == expected
    assert {row["patient_key"]: row["recipient"] for row in batch_of(run)} == addressed
    assert gate(run) == len(verdicts(practice, run))  # and it counts the same
