"""A FHIR R4 bulk export that is not sound: named by its place, never by its value; nothing changes."""
# ruff: noqa: E501 - a case reads best on one line

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import create_database
from export import contents
from fhir_export import (
    SIGNED,
    FhirExport,
    Resource,
    actor,
    appointment,
    consent,
    email,
    location,
    ours,
    patient,
    practice,
    prescription,
    related,
    visit,
)
from reengage.embedded.postgres import Postgres
from reengage.errors import SourceDataError
from reengage.sources import fhir_files
from reengage.sources.fhir import SOURCE
from reengage.sources.loading import already_loaded, directory_digest, load
from sqlalchemy import Engine, create_engine, text

CANARY = "Zanzibar"


@pytest.fixture
def export(tmp_path: Path) -> FhirExport:
    return practice(tmp_path / "export", 2)


def read(directory: Path) -> dict[str, list[Any]]:
    """Every row of every table, as it would be loaded; without a database."""
    return {table.name: list(table.rows) for table in SOURCE.tables(directory)}


def told(directory: Path) -> str:
    with pytest.raises(SourceDataError) as error:
        read(directory)
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value).replace(str(directory), "DIR")


# --- a resource ----------------------------------------------------------------------------------

WRONG: list[tuple[Resource, str]] = [
    (patient("x", birthDate=None), "element Patient.birthDate: missing; give the year at least"),
    (patient("x", birthDate=CANARY), "Patient.birthDate: not valid in R4 (value_error); mend it"),
    (patient("x", birthDate="1980-02-30"), "Patient.birthDate: not valid in R4"),
    (patient("x", birthDate="9999-12-31"), "Patient.birthDate: no date, expected one like 2023"),
    (patient("x", birthDate="1700"), "expected one like 2023-06-01 in 1850 to 2199"),
    (patient("x", deceasedDateTime="1950-01-01"), "deceasedDateTime: before birthDate; mend one"),
    (patient("x", deceasedBoolean="true"), "deceasedBoolean: expected true or false, without quo"),
    (patient("x", deceasedBoolean=True, deceasedDateTime="2020"), "element Patient: not valid in R"),
    (patient("x", Zanzibar=CANARY), "element Patient: holds an element that R4 does not know"),
    (patient("x", name=[{"given": CANARY}]), "Patient.name[0].given: not valid in R4 (list_type)"),
    (patient("x", name=[{"use": CANARY}]), "Patient.name[0].use: a code that R4 does not have the"),
    (patient("x", name=[{"given": ["Zanzi\0bar"]}]), "given: expected at most 500 characters and n"),
    (patient("x", name=[{"given": [CANARY * 100]}]), "given: expected at most 500 characters and"),
    (patient("x", name=[{"given": ["Zanzibar\ud800"]}]), "given[0]: not valid in R4 (string_unicode)"),
    (patient("x", telecom=[{"system": CANARY}]), "telecom[0].system: a code that R4 does not have"),
    (patient("x", telecom=[email("a", rank=CANARY)]), "Patient.telecom[0].rank: not valid in R4"),
    (patient("x", telecom=[email("a", verified=CANARY)]), "extension[0].valueDateTime: not valid i"),
    (patient("x", telecom=[email("a", verified="2021")]), "valueDateTime: a partial date; give th"),
    (patient("x", telecom=[email("a", verified=None, extension=[ours("email-verified")])]),
     "valueDateTime: missing; email-verified takes its value from there"),
    (patient("x", telecom=[email("a", verified=None, extension=[
        ours("email-verified", valueBoolean=True)])]), "email-verified takes its value from there"),
    (patient("x", telecom=[email("a", extension=[ours("email-verified", valueDateTime="2021")])]),
     "telecom[0].extension: email-verified is there twice; keep one"),
    (patient("x", telecom=[email("a", extension=[ours("email-verifed", valueDateTime="2021-01-01")])]),
     "element Patient.extension: one of ours that is misspelt, or in a wrong place"),
    (patient("x", extension=[ours("consent-revoked", valueDateTime="2021-01-01")]), "in a wrong pl"),
    (patient("x", telecom=[email("a", extension=[ours("confidential-channel", valueCode=CANARY)])]),
     "valueCode: an unknown code; docs/sources.md lists those there are"),
    (patient("x", telecom=[{"system": "phone", "value": "1", "extension": [
        ours("confidential-channel", valueCode="email")]}]), "asked for is e-mail, this is no addr"),
    (patient("x", modifierExtension=[{"url": "http://x.org/y", "valueString": CANARY}]),
     "Patient.modifierExtension: changes what is meant in a way that is not known here"),
    (patient("x", implicitRules="http://x.org/zanzibar"), "Patient.implicitRules: changes what is"),
    (patient("x", contained=[{"resourceType": CANARY}]), "perhaps in `contained`; mend it"),
    (patient("x", meta={"lastUpdated": CANARY}), "Patient.meta.lastUpdated: not valid in R4"),
    (patient("x", id=None), "element Patient.id: missing; a bulk export gives each resource its id"),
    (patient("x", id="Zanzi bar"), "element Patient.id: not valid in R4 (string_pattern_mismatch)"),
    (visit("p0", class_=None), "element Encounter.class: missing; fill it"),
    (visit("p0", status=None), "element Encounter.status: missing; fill it"),
    (visit("p0", status=CANARY), "Encounter.status: a code that R4 does not have there; use one of"),
    (visit("p0", period=None), "Encounter.period.start: missing; a visit needs the day on which it"),
    (visit("p0", "2021"), "Encounter.period.start: a partial date; give the day too, or leave it o"),
    (visit("p0", "2021-02-03T10:00:00"), "Encounter.period.start: not valid in R4"),
    (visit("p0", "0001-01-01T00:00:00Z"), "Encounter.period.start: no instant, expected one like"),
    (visit("p0", period={"start": "2021-02-03", "end": "2021-02-02"}), "period.end: before start"),
    (visit("p0", subject=None), "Encounter.subject: no reference to a Patient; give one"),
    (visit("p0", subject={"reference": "Group/g"}), "Encounter.subject: no reference to a Patient"),
    (visit("p0", subject={"reference": CANARY}), "subject.reference: expected Type/id, as in Pati"),
    (visit("p0", resourceType="Patient"), "element Patient: holds an element that R4 does not know"),
    (appointment("p0", start=None, end=None), "Appointment.start: missing; who is booked is booked"),
    (appointment("p0", status=CANARY), "Appointment.status: a code that R4 does not have there"),
    (appointment("p0", start=CANARY), "Appointment.start: not valid in R4"),
    (prescription("p0", status=CANARY), "MedicationRequest.status: a code that R4 does not have"),
    (prescription("p0", intent=CANARY), "MedicationRequest.intent: a code that R4 does not have"),
    (prescription("p0", authoredOn=None), "MedicationRequest.authoredOn: missing; give the day of"),
    (prescription("p0", medicationCodeableConcept={"coding": [{"code": CANARY}]}),
     "MedicationRequest.medicationCodeableConcept: no name; give a text, or a display of a cod"),
    (prescription("p0", dispenseRequest={"expectedSupplyDuration": {"value": 3, "code": CANARY}}),
     "expectedSupplyDuration.code: expected one of h, d, wk, mo, a"),
    (consent("p0", status=CANARY), "element Consent.status: a code that R4 does not have there"),
    (consent("p0", provision={"type": CANARY}), "Consent.provision.type: a code that R4 does not"),
    (consent("p0", patient=None), "element Consent.patient: no reference to a Patient; give one"),
    (consent("p0", performer=[{"reference": "Patient/p1"}]), "Consent.performer[0].reference: anot"),
    (consent("p0", extension=[ours("consent-compound", valueBoolean="no")]), "expected true or fal"),
    (consent("p0", provision={"type": "permit", "extension": [
        ours("consent-revoked", valueDateTime="2021-01-01")]}), "misspelt, or in a wrong place"),
    (related("p0", patient={"reference": "Group/g"}), "RelatedPerson.patient: no reference to a Pa"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "fault"), WRONG, ids=[fault for _, fault in WRONG])
def test_a_wrong_element_is_named_by_its_place(
    export: FhirExport, resource: Resource, fault: str
) -> None:
    type_ = resource["resourceType"]
    before = sum(one["resourceType"] == type_ for one in export.resources)
    export.add({"id": "x", **resource} if resource.get("id") else resource).write()
    message = told(export.directory)
    assert f"{type_}.ndjson line {before + 1}, element {type_}" in message
    assert fault in message
    assert CANARY not in message


# --- a file --------------------------------------------------------------------------------------


def manifest(export: FhirExport, **content: Any) -> None:
    (export.directory / "manifest.json").write_text(json.dumps(content))


def lines(export: FhirExport, old: str, new: str, name: str = "Encounter") -> None:
    content = export.path(name).read_bytes()
    assert old.encode() in content
    export.path(name).write_bytes(content.replace(old.encode(), new.encode("latin-1"), 1))


def cut(export: FhirExport, name: str = "Encounter") -> None:
    export.path(name).write_bytes(export.path(name).read_bytes()[:-20])


def since(e: FhirExport) -> None:
    manifest(e, request="https://ehr.example.org/$export?_since=2023-01-01T00:00:00Z")


SPOILT: list[tuple[str, Callable[[FhirExport], object], str]] = [
    ("no file", lambda e: e.path("Consent").unlink(), "Consent.ndjson is missing in DIR; export it"),
    ("cut", cut, "Encounter.ndjson line 2: the last line is cut short; fetch the file again, whole"),
    ("no JSON", lambda e: lines(e, "{", "Zanzibar{"), "Encounter.ndjson line 1: not one JSON object"),
    ("an array", lambda e: e.path("Consent").write_text("[]\n"), "Consent.ndjson line 1: no JSON obj"),
    ("pretty", lambda e: lines(e, ", ", ",\n"), "line 1: not one JSON object; write one resource a"),
    ("not a number", lambda e: lines(e, '"finished"', "NaN"), "line 1: not one JSON object"),
    ("deep", lambda e: e.path("Consent").write_text("[" * 100_000 + "\n"), "line 1: not one JSON ob"),
    ("an element twice", lambda e: lines(e, '"id"', '"status": "planned", "id"'), "each element once"),
    ("latin-1", lambda e: lines(e, "AMB", "\u00e9"), "Encounter.ndjson line 1: not UTF-8; export it"),
    ("another type", lambda e: lines(e, '"Encounter"', '"Zanzibar"'), "element Encounter.resourceType"),
    ("counted", lambda e: manifest(e, output=[{"type": "Encounter", "count": 3}]),
     "Encounter.ndjson: 2 resources, the manifest counts 3; fetch the files again"),
    ("not fetched", lambda e: manifest(e, output=[{"type": "RelatedPerson", "count": 1}]),
     "manifest.json line 1, element manifest.output[0].type: no file of RelatedPerson is there"),
    ("changes only", since, "manifest.request: an export of changes (_since); make a whole one"),
    ("no manifest", lambda e: (e.directory / "export.json").write_text("{"), "export.json: not JSON"),
    ("no time", lambda e: manifest(e, transactionTime=CANARY), "manifest.transactionTime: no date"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "fault"), [s[1:] for s in SPOILT], ids=[s[0] for s in SPOILT])
def test_a_wrong_file_is_named_by_its_place(
    export: FhirExport, spoil: Callable[[FhirExport], object], fault: str
) -> None:
    spoil(export)
    message = told(export.directory)
    assert fault in message
    assert CANARY not in message


def test_a_line_without_an_end_is_not_read_into_memory(
    export: FhirExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_files, "MAX_LINE_BYTES", 1024 * 1024)
    with export.path("Encounter").open("ab") as file:
        file.truncate(50_000_000)  # a hole on the disk: NULs without a line break
    tracemalloc.start()
    try:
        assert "Encounter.ndjson line 3: longer than 1 MiB; write one" in told(export.directory)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_rows_are_made_as_they_are_asked_for(export: FhirExport) -> None:
    cut(export, "Patient")
    table = next(iter(SOURCE.tables(export.directory)))
    rows = iter(table.rows)
    assert next(rows)[3] == "p0"  # the fault in the next line has not been met yet
    with pytest.raises(SourceDataError):
        next(rows)


@pytest.mark.parametrize(
    "name", ["Patient.000", "1.Patient", "Patient_1", "patient", "x-Patient-2"]
)
def test_files_may_be_called_as_servers_call_them(export: FhirExport, name: str) -> None:
    before = read(export.directory)["patients"]
    export.path("Patient").rename(export.path(name))
    assert [row[1:] for row in read(export.directory)["patients"]] == [row[1:] for row in before]


def test_another_dress_of_the_files_gives_the_same_rows(export: FhirExport) -> None:
    before = read(export.directory)
    content = export.path("Patient").read_text().splitlines()
    export.path("Patient").unlink()
    export.path("Patient.1").write_text("\ufeff" + content[0], encoding="utf-8")
    export.path("Patient.2").write_text(f"\r\n\n  \n{content[1]}\r\n\r\n")
    export.path("Observation").write_text("not read")
    export.path("PatientX").write_text("not read")
    manifest(export, transactionTime="2023-06-01T00:00:00Z", output=[
        {"type": "Patient", "count": 1}, {"type": "Patient", "count": 1}, {"type": "Observation"},
        {"type": "Encounter"},
    ])  # fmt: skip
    after = read(export.directory)
    assert after.pop("manifest") == [["2023-06-01T00:00:00Z"]]
    before.pop("manifest")
    assert [row[2:] for row in after.pop("patients")] == [row[2:] for row in before.pop("patients")]
    assert after == before


# --- several files, and the warehouse ------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse that holds a sound export of one patient, `p0`."""
    create_database(server, name="kept_fhir")
    made = create_engine(server.url("kept_fhir"))
    load(made, SOURCE, practice(tmp_path_factory.mktemp("sound"), 1).directory)
    yield made
    made.dispose()


CONTRADICTIONS: list[tuple[list[Resource], str]] = [
    ([patient("p0")], "Patient.ndjson line 3, element Patient.id: the id is there twice; remove"),
    ([visit("p1", id="visit-p0")], "Encounter.ndjson line 3, element Encounter.id: the id is the"),
    ([appointment("p1", id="booking-p0")], "line 3, element Appointment.id: the id is there twic"),
    ([consent("p1", id="form-p0")], "Consent.ndjson line 3, element Consent.id: the id is there"),
    ([visit("p9")], "Encounter.ndjson line 3, element Encounter.subject: no such Patient in the"),
    ([appointment("p9")], "Appointment.ndjson line 3, element Appointment.participant.actor: no"),
    ([prescription("p9")], "line 3, element MedicationRequest.subject: no such Patient in the ex"),
    ([consent("p9")], "Consent.ndjson line 3, element Consent.patient: no such Patient in the ex"),
    ([related("p9")], "RelatedPerson.ndjson line 1, element RelatedPerson.patient: no such Patie"),
    ([consent("p1", id="f", performer=[{"reference": "RelatedPerson/r"}])],
     "line 3, element Consent.performer: no such RelatedPerson in the export; export RelatedPers"),
    ([appointment("p1", id="b", participant=[actor("Patient/p1"), actor("Location/l")])],
     "line 3, element Appointment.participant.actor: no such Location in the export; export Loca"),
    ([location("clinic")], "Location.ndjson line 2, element Location.id: the id is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("resources", "fault"), CONTRADICTIONS, ids=[fault for _, fault in CONTRADICTIONS]
)
def test_resources_that_contradict_one_another_change_nothing(
    engine: Engine, export: FhirExport, resources: list[Resource], fault: str
) -> None:
    before = contents(engine)
    export.add(*resources).write()
    with pytest.raises(SourceDataError) as error:
        load(engine, SOURCE, export.directory)
    assert fault in str(error.value)
    assert contents(engine) == before


def test_an_export_is_loaded_again_when_one_of_its_files_changes(
    engine: Engine, export: FhirExport
) -> None:
    assert not already_loaded(engine, SOURCE, export.directory)
    assert load(engine, SOURCE, export.directory).tables == {
        "patients": 2, "related_persons": 0, "locations": 1, "encounters": 2, "appointments": 2,
        "medication_requests": 2, "consents": 2, "manifest": 0,
    }  # fmt: skip
    assert already_loaded(engine, SOURCE, export.directory)
    digest = directory_digest(SOURCE, export.directory)
    manifest(export, transactionTime="2023-06-01T00:00:00Z")
    assert directory_digest(SOURCE, export.directory) != digest
    assert not already_loaded(engine, SOURCE, export.directory)


@pytest.mark.parametrize(
    ("time", "updated", "until"),
    [
        ("2023-06-01T00:00:00Z", "2023-05-05T00:00:00Z", "2023-06-01"),
        (None, "2023-05-05T00:00:00Z", "2023-05-05"),
        (None, None, "2021-02-03"),  # the last visit
        ("2199-06-01T00:00:00Z", None, None),  # the load itself
    ],
)
def test_data_are_complete_up_to_the_transaction_else_the_last_change_else_the_last_visit(
    engine: Engine, export: FhirExport, time: str | None, updated: str | None, until: str | None
) -> None:
    if time:
        manifest(export, transactionTime=time)
    seen = visit("p1", id="v", meta={"lastUpdated": updated} if updated else None)
    export.add(seen, consent("p1", id="no", dateTime=None, provision={"type": "deny"})).write()
    load(engine, SOURCE, export.directory)
    words = 'SELECT *, (SELECT max(revoked_at) FROM contract."authorization") AS refused'
    with engine.connect() as connection:
        row = connection.execute(text(f"{words} FROM contract.load")).one()
    assert row.source == "fhir"
    if until is None:
        assert row.data_until == row.refused == row.loaded_at
    else:  # a refusal without a date ends the form that is there
        assert (f"{row.data_until:%F}", f"{row.refused:%F}") == (until, max(until, SIGNED[:10]))


def test_nothing_that_the_contract_does_not_need_is_loaded(
    engine: Engine, export: FhirExport
) -> None:
    export.add(
        patient("p2", identifier=[{"value": CANARY}], photo=[{"title": CANARY}], gender="female"),
        visit("p2", reasonCode=[{"text": CANARY}], diagnosis=[{"condition": {"display": CANARY}}]),
        prescription("p2", reasonCode=[{"text": CANARY}], note=[{"text": CANARY}]),
        appointment("p2", description=CANARY, comment=CANARY, patientInstruction=CANARY),
    ).write()
    load(engine, SOURCE, export.directory)
    held = " ".join(row for rows in contents(engine).values() for row in rows)
    assert CANARY not in held  # PRV-18
    assert "Garner" not in held  # no family name either
    assert "Ana" in held
