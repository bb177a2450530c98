"""Nothing of a patient outside the seal: the raw store of a day holds no value of the warehouse."""

from __future__ import annotations

import re
from datetime import date

import pytest
from daily import Practice
from eligibility import APPOINTMENT, MEDICATION
from sqlalchemy import create_engine, text
from world import World

CANARY = {
    "patient": {"patient_key": "canarykey", "given_name": "Canarygiven", "state": "Canarystate",
                "zip": "canaryzip", "birth_date": date(1961, 7, 23)},
    "contact": {"email": "canary.mail@example.org"},
    "appointment": {"location": "Canarylocation"},
    "medication": {"name": "Canarymedicine", "dosage_text": "Canarydosage"},
    "authorization": {"information": "Canaryinformation"},
}  # fmt: skip


def canary(world: World) -> None:
    world.patient("canarykey", **CANARY)  # type: ignore[arg-type]


def dump(practice: Practice) -> str:
    """Every table of the store as text, bytea as what its bytes read as."""
    engine = create_engine(practice.settings.store_url)
    lines = []
    with engine.connect() as connection:
        tables = connection.execute(text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )).scalars()  # fmt: skip
        for table in list(tables):
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                lines += [
                    value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    for value in row
                ]
    engine.dispose()
    return "\n".join(lines)


@pytest.mark.parametrize("campaign", [APPOINTMENT, MEDICATION])
def test_the_raw_store_holds_nothing_of_a_patient(campaign: str, practice: Practice) -> None:
    """SEC-14, LOG-09: batch, decisions and letters are sealed or pseudonymous."""
    canary(practice.world)
    practice.world.patient("canaryexcluded", authorization=None)
    run = practice.open(campaign, dry=True)
    practice.compose(run)
    found = dump(practice)
    assert run.pseudonym("canarykey") in found  # the dump does look at the rows
    assert "canary" not in found.casefold()
    # The year by itself: among a moment's microseconds, or in a digest, its four digits are random.
    assert re.search("(?<![0-9A-Za-z])1961(?![0-9A-Za-z])", found) is None
    assert "19610723" not in found
    assert "rehearsed" not in practice.states()
