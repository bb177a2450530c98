"""A FHIR R4 bulk export in the contract's views: every mapping, in one warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest
from databases import create_database
from fhir_cases import CASES, Row
from fhir_export import (
    FhirExport,
    Resource,
    appointment,
    consent,
    email,
    label,
    location,
    ours,
    patient,
    prescription,
    related,
    visit,
)
from reengage import warehouse
from reengage.campaigns import load_campaigns
from reengage.contract import load_contract
from reengage.embedded.postgres import Postgres
from reengage.pipeline.asking import asking
from reengage.pipeline.extract import candidate_statement
from reengage.pipeline.run import Run
from reengage.practice import load_practice
from reengage.settings import HOME
from reengage.sources.fhir import SOURCE
from reengage.sources.fhir_care import VISITS
from reengage.sources.fhir_element import Element
from reengage.sources.fhir_files import TYPES
from reengage.sources.fhir_labels import CATEGORIES
from reengage.sources.fhir_models import EXTENSIONS
from reengage.sources.fhir_people import AUTHORITIES, CHANNELS, LIMITS, related_person_rows
from reengage.sources.loading import already_loaded, load
from sqlalchemy import Engine, create_engine, text


def renamed(value: Any, key: str) -> Any:
    """A case's resources, with a patient of the case's own in the place of `p`."""
    if isinstance(value, dict):
        return {name: renamed(one, key) for name, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, key) for one in value]
    if not isinstance(value, str):
        return value
    for old in ("form-p", "visit-p", "booking-p", "drug-p", "parent-p", "Patient/p"):
        if value.startswith(old) or value.endswith(old) or f"{old}/" in value:
            value = value.replace(old, f"{old[:-1]}{key}")
    return key if value == "p" else f"booking-{key}/{key}" if value == f"booking-{key}/p" else value


VALID = {"dispenseRequest": {"validityPeriod": {"end": "2022-05-06"}}}
RENEWALS: list[tuple[str | None, Resource]] = [
    ("2022-05-20", {}),
    ("2022-05-20", {"medicationCodeableConcept": {"text": "LISINOPRIL 20 MG"}}),
    (None, {"medicationCodeableConcept": {"text": "ramipril 10 MG"}}),
    (None, {"dispenseRequest": {"validityPeriod": {"end": "2022-05-01"}}}),
    (
        None,
        {"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"end": "2022-05-06"}}}}]},
    ),
    (None, {"authoredOn": "2021-01-01"}),
    (None, {"status": "draft"}),
]
"""The day from which a prescription that is valid until 2022-05-06 is over, by another one."""


def renewals() -> list[Resource]:
    made = []
    for number, (_, second) in enumerate(RENEWALS):
        key = f"renewal{number}"
        later = {"id": f"later-{key}", "authoredOn": "2022-05-20", **second}
        made += [patient(key), prescription(key, **VALID), prescription(key, **later)]
    return made


DECIDED = {
    "plain": [],
    "unverified": ["address_unverified"],
    "silent": ["no_authorization"],
    "unsaid": ["authorization_incomplete"],
    "revoked": ["authorization_revoked"],
    "denied": ["authorization_revoked", "opted_out"],
    "undated": ["authorization_revoked", "opted_out"],
    "aside": ["restriction"],
    "labelled": ["no_jurisdiction_rule"],
    "telephone": ["confidential_channel", "no_address"],
    "child": [],
    "neighbour": ["authorization_incomplete", "minor_without_representative"],
}
"""Patients who stopped coming and have booked again -> the reasons not to write to them."""


def decided(key: str) -> list[Resource]:
    """One of them, with what makes the difference."""
    child = key in ("child", "neighbour")
    signer = f"RelatedPerson/parent-{key}" if child else f"Patient/{key}"
    call = {"system": "phone", "value": "1", "extension": [
        ours("confidential-channel", valueCode="phone")]}  # fmt: skip
    made: dict[str, dict[str, Any]] = {
        "unverified": {"telecom": [email("a@example.org", verified=None)]},
        "aside": {"active": False},
        "labelled": {"meta": label("PSY")},
        "telephone": {"telecom": [email("a@example.org"), call]},
        "child": {"birthDate": "2015-02"},
        "neighbour": {"birthDate": "2015"},
    }
    form = consent(key, performer=[{"reference": signer}])
    if key == "unsaid":
        form["extension"] = []
    if key == "revoked":
        form["extension"].append(ours("consent-revoked", valueDateTime="2023-05-31T00:00:00Z"))
    if key == "denied":
        form["provision"] = {"type": "deny"}
    forms = [] if key == "silent" else [form]
    if key == "undated":  # a form newer than all that the export is known to reach, and a no
        form["dateTime"] = "2023-05-31T00:00:00Z"
        forms.append(consent(key, id=f"no-{key}", dateTime=None, provision={"type": "deny"}))
    kin = [related(key, "MTH" if key == "child" else "NBOR")] if child else []
    return [patient(key, **made.get(key, {})), visit(key), appointment(key), *forms, *kin]


@pytest.fixture(scope="module")
def held(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse that holds all cases at once."""
    create_database(server, name="held_fhir")
    export = FhirExport(tmp_path_factory.mktemp("fhir"))
    export.add(location("clinic"), location("secret", meta=label("HIV")), patient("other"))
    for number, (_, resources, _, _) in enumerate(CASES):
        key = f"case{number}"
        own = [renamed(resource, key) for resource in resources]
        if not any(resource["resourceType"] == "Patient" for resource in own):
            own.insert(0, patient(key))
        export.add(*own)
    export.add(*renewals())
    export.add(*(resource for key in DECIDED for resource in decided(key)))
    made = create_engine(server.url("held_fhir"))
    load(made, SOURCE, export.write().directory)
    assert already_loaded(made, SOURCE, export.directory)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def rows(held: Engine) -> dict[tuple[str, str], list[Row]]:
    """Every row of every view, by view and patient."""
    found: dict[tuple[str, str], list[Row]] = {}
    with held.connect() as connection:
        for view in sorted({case[2] for case in CASES}):
            for row in connection.execute(text(f'SELECT * FROM contract."{view}"')).mappings():
                found.setdefault((view, row["patient_key"]), []).append(dict(row))
    return found


@pytest.mark.parametrize(
    ("number", "view", "expected"),
    [(number, case[2], case[3]) for number, case in enumerate(CASES)],
    ids=[f"{case[2]}: {case[0]}" for case in CASES],
)
def test_a_resource_is_mapped(
    rows: dict[tuple[str, str], list[Row]], number: int, view: str, expected: Row | None
) -> None:
    key = f"case{number}"
    found = rows.get((view, key), [])
    if expected is None:
        assert found == []
        return
    (row,) = found
    assert {name: row[name] for name in expected} == renamed(expected, key)


@pytest.mark.parametrize("number", range(len(RENEWALS)))
def test_a_prescription_is_over_when_a_later_one_of_the_medicine_reaches_further(
    rows: dict[tuple[str, str], list[Row]], number: int
) -> None:
    over, _ = RENEWALS[number]
    found = {row["medication_key"]: row for row in rows["medication", f"renewal{number}"]}
    earlier = found[f"drug-renewal{number}"]
    assert (earlier["end_at"] and earlier["end_at"].date().isoformat()) == over
    assert earlier["lapsed_on"] == date(2022, 5, 6)


@pytest.mark.parametrize(
    ("period", "blocked"),
    [
        ({"start": "2023"}, True),  # it may begin on its last day
        ({"start": "2023-06"}, True),
        ({"start": "2023-06-02"}, True),
        ({"start": "2023-06-01", "end": "2023-06-01"}, False),
        ({"start": "2022"}, False),
        ({"end": "2023"}, True),  # it may have ended on its first
        ({"end": "2023-06"}, False),
    ],
)
def test_a_representative_acts_while_the_period_is_certain(period: Resource, blocked: bool) -> None:
    resource = Element(related("p", period=period), "RelatedPerson.ndjson", 1, "RelatedPerson")
    (row,) = related_person_rows(resource, date(2023, 6, 1))
    assert row[-1] is blocked


def test_the_check_of_a_warehouse_finds_nothing(held: Engine) -> None:
    assert warehouse.check(held, load_contract(HOME)) == []


def test_a_campaign_decides_over_it(held: Engine) -> None:
    campaign = next(c for c in load_campaigns(HOME)[0] if c.slug == "appointment_reminder")
    run = SimpleNamespace(
        campaign=campaign,
        day=date(2023, 6, 1),
        settings=SimpleNamespace(home=HOME),
        practice=load_practice(HOME / "practice.yaml"),
    )
    statement = candidate_statement(campaign, load_contract(HOME), HOME)
    with held.connect() as connection:
        found = connection.execute(text(statement), asking(cast(Run, run))).mappings().all()
    reasons = {row["patient_key"]: sorted(row["reasons"]) for row in found}
    assert {key: reasons.get(key) for key in DECIDED} == DECIDED
    recipients = {row["patient_key"]: row["recipient"] for row in found}
    assert recipients["plain"] == "plain@example.org"
    assert recipients["child"] == "parent.child@example.org"


def test_the_documents_name_every_extension_and_every_code() -> None:
    page = (HOME / "docs" / "sources.md").read_text(encoding="utf-8")
    section = page[page.index("## FHIR R4") : page.index("## The sample")]
    words = set(re.findall(r"[\w-]+", section))
    assert sorted(set(EXTENSIONS) - words) == []
    known = {*CATEGORIES, *AUTHORITIES, *CHANNELS, *LIMITS, *TYPES, *VISITS}
    missing = known - words - {"arrived", "triaged", "in-progress", "onleave", "finished"}
    assert sorted(missing) == []
