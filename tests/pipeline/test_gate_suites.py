"""For each expectation of the gate a bad batch that it alone catches.

A bad row of the cohort is one that an extraction with a fault would have staged: the patient is
odd from the start, the extraction rightly leaves them out, and the test puts them in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from daily import Practice
from eligibility import APPOINTMENT, EDUCATION, LAST, MEDICATION, MIDNIGHT, ONE_DAY, PAID
from gates import (
    SUITES,
    Tamper,
    all_rows,
    as_if_sound,
    assert_red,
    emptied,
    entries,
    extracted,
    gate_practice,
    one_row,
    tampered,
)
from reengage.embedded import postgres
from reengage.pipeline import extract as extraction
from reengage.pipeline import norms
from reengage.pipeline.extract import extract
from world import DAY, NOW, World

STALE = MIDNIGHT - timedelta(days=4)
BREAKS = "p0@example.org\r\nBcc: x@example.org"


@dataclass(frozen=True)
class Bad:
    """A batch with one thing wrong."""

    tamper: Tamper | None = None
    """Of the staged rows."""
    odd: Mapping[str, Any] = field(default_factory=dict)
    """What is odd about a second patient, in the warehouse; staged as if it were not."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """Changes of that patient's staged row."""
    later: Callable[[World], None] | None = None
    """What changes in the warehouse after the extraction."""
    usual: Mapping[str, int] = field(default_factory=dict)
    """A norm of recent days that today's counts do not reach."""
    fault: tuple[str, str] | None = None
    """A fault in the extraction's own SQL: what stands there, and what instead."""
    campaign: str = EDUCATION
    patients: int = 1


def load(*until: datetime | None) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.execute("DELETE FROM contract.load")
        for instant in until:
            world.set("load", source="test", loaded_at=NOW, data_until=instant)

    return change


def address(world: World) -> None:
    world.execute("UPDATE contract.contact SET email = :email", email=BREAKS)


NEWER = {"authorization_key": "newer", "signed_at": NOW - timedelta(days=5)}
RESTRICTION = {"kind": "no outreach", "since": NOW - ONE_DAY}
HIV = {"sensitive_class": "hiv"}

BATCH = {
    "batch table_columns_to_match_set": Bad(all_rows(**{"patient.birth_date": date(1970, 1, 1)})),
    "batch patient_key not_be_null": Bad(one_row(patient_key=None), patients=2),
    "batch recipient not_be_null": Bad(one_row(recipient=None)),
    # The warehouse has it so, and an extraction with a fault let it pass.
    "batch recipient match_regex": Bad(one_row(recipient=BREAKS), later=address),
    "batch authorization_key not_be_null": Bad(one_row(authorization_key=None)),
    "batch language not_be_null": Bad(one_row(language=None), patients=2),
    "batch language be_in_set": Bad(one_row(language="fr")),
    "batch time_zone not_be_null": Bad(one_row(time_zone=None)),
    "batch period_key not_be_null": Bad(one_row(period_key=None)),
    "batch expires_at not_be_null": Bad(one_row(expires_at=None)),
}
COHORT = {
    "cohort patient_key be_unique": Bad(lambda rows: [*rows, rows[0]]),
    "cohort alive be_in_set": Bad(odd={"patient": {"death_date": DAY}}),
    "cohort plausible be_in_set": Bad(odd={"patient": {"birth_date": date(1800, 1, 1)}}),
    "cohort inactive be_in_set": Bad(odd={"visit": {"start_at": LAST}}),
    "cohort subject_stands be_in_set": Bad(
        odd={"medication": {"lapsed_on": DAY - timedelta(days=91)}}, campaign=MEDICATION
    ),
    # It cites the opt-in, which is sound; the form for marketing is not there.
    "cohort consented be_in_set": Bad(
        odd={"marketing": None},
        row={"authorization_key": "authorization-case001"},
        campaign=PAID,
    ),
    # Another form is sound; the one that the row cites has expired.
    "cohort form_sound be_in_set": Bad(
        odd={"email": {"expires_on": DAY - ONE_DAY}, "more": [NEWER]}
    ),
    "cohort not_opted_out be_in_set": Bad(odd={"opt_out": [{"campaign": None, "at": LAST}]}),
    "cohort unrestricted be_in_set": Bad(odd={"restriction": [RESTRICTION]}),
    "cohort channel_allowed be_in_set": Bad(odd={"contact": {"confidential_channel": "post"}}),
    # They asked for another address, which is confirmed; the row has the first one.
    "cohort addressee_right be_in_set": Bad(
        odd={
            "contact": {
                "confidential_channel": "email",
                "confidential_email": "quiet@example.org",
                "confidential_verified_at": NOW - ONE_DAY,
            }
        }
    ),
    "cohort address_verified be_in_set": Bad(odd={"contact": {"verified_at": None}}),
    "cohort address_reached be_in_set": Bad(odd={"contact": {"bounced_at": LAST}}),
    "cohort programme_allowed be_in_set": Bad(odd={"patient": {"sensitive_programme": True}}),
    "cohort medicine_nameable be_in_set": Bad(odd={"medication": HIV}, campaign=MEDICATION),
    "cohort place_nameable be_in_set": Bad(
        odd={"appointment": {"service_line": "HIV"}}, campaign=APPOINTMENT
    ),
}
AUDIENCE = {
    # One who may not be written to is forgotten: no letter is missing, and the count is wrong.
    "audience asked be_between": Bad(
        odd={"restriction": [RESTRICTION]},
        fault=("FROM inactive\nWHERE", "FROM inactive WHERE patient_key <> 'case001' AND"),
    ),
    # Everybody is taken for restricted: nobody is written to who should not be, nor anybody else.
    "audience allowed be_between": Bad(
        fault=("CASE WHEN restricted.patient_key IS NOT NULL", "CASE WHEN true")
    ),
}
SOURCE = {
    "source table_row_count_to_equal": Bad(later=load(NOW, NOW)),
    "source stale_days not_be_null": Bad(later=load(None)),
    "source stale_days be_between": Bad(later=load(STALE)),
    "source patients be_between": Bad(patients=0),
    "source patients be_between (2)": Bad(usual={"patients": 2}),
    **{f"source {name} be_between": Bad(usual={name: 9}) for name in norms.COUNTS[1:]},
}
BAD = {**BATCH, **COHORT, **AUDIENCE, **SOURCE}


@pytest.fixture(scope="module")
def shared(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    with gate_practice(server, tmp_path_factory.mktemp("suites")) as practice:
        yield practice


@pytest.mark.parametrize("name", [name for suite in SUITES for name in entries(suite)])
def test_each_expectation_catches_a_bad_batch_that_no_other_does(
    name: str, shared: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRV-01 to PRV-33, EML-02, EML-26, SEC-08: as each says of itself in `meta`."""
    bad = BAD[name]
    practice = emptied(shared)
    run, keys = extracted(practice, bad.campaign, bad.patients, **bad.odd)
    if bad.odd and not bad.fault:
        tampered(run, as_if_sound(keys["odd"], **bad.row))
    if bad.tamper:
        tampered(run, bad.tamper)
    if bad.later:
        bad.later(practice.world)
    if bad.usual:
        limits = {f"{one}_least": count for one, count in bad.usual.items()}
        really = norms.bounds
        monkeypatch.setattr(norms, "bounds", lambda *given: {**really(*given), **limits})
    if bad.fault:
        sound, (old, new) = extraction.candidate_statement, bad.fault
        monkeypatch.setattr(
            extraction, "candidate_statement", lambda *given: _replaced(sound(*given), old, new)
        )
        extract(run)
    assert_red(practice, run, {name})


def _replaced(statement: str, old: str, new: str) -> str:
    assert old in statement
    return statement.replace(old, new)


def test_no_bad_batch_is_for_an_expectation_that_is_gone() -> None:
    assert set(BAD) == {name for suite in SUITES for name in entries(suite)}
