"""OMOP: what its tables mean, by a small export made for the test; what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import create_database
from export import SmallExport, contents
from omop_export import OmopExport, Rows, drug, person, visit
from reengage import warehouse
from reengage.contract import load_contract
from reengage.embedded.postgres import Postgres
from reengage.errors import SourceDataError
from reengage.settings import HOME
from reengage.sources import loading, omop, synthea
from sqlalchemy import Engine, create_engine, text


@pytest.fixture
def omop_export(tmp_path: Path) -> OmopExport:
    return OmopExport.write(tmp_path / "omop")


@pytest.fixture(scope="module")
def held(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One warehouse for the module: each load replaces the last."""
    create_database(server, name="omop_held")
    made = create_engine(server.url("omop_held"))
    loading.load(made, omop.SOURCE, OmopExport.write(tmp_path_factory.mktemp("omop")).directory)
    yield made
    made.dispose()


def ask(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        connection.execute(text("SET timezone = 'America/Chicago'"))
        return [tuple(row) for row in connection.execute(text(statement))]


def load(engine: Engine, export: OmopExport) -> None:
    loading.load(engine, omop.SOURCE, export.directory)
    assert warehouse.check(engine, load_contract(HOME)) == []


# --- what it means -------------------------------------------------------------------------------


def test_persons_are_patients(held: Engine, omop_export: OmopExport) -> None:
    """A birthday that is not known in full is the latest possible: nobody is of age too early."""
    omop_export.add(
        "PERSON",
        person(4, "2000--"),
        person(5, "2000-2-"),
        person(6, "2000--", birth_datetime="2000-05-06 00:00:00"),
    )
    load(held, omop_export)
    assert ask(
        held,
        "SELECT patient_key, given_name, CAST(birth_date AS text), CAST(death_date AS text),"
        " language, state, zip, time_zone FROM contract.patient ORDER BY patient_key",
    ) == [
        ("1", "Patient", "1970-03-04", None, "en", "NE", "68102", "America/Chicago"),
        ("2", "Paciente", "1980-01-31", "2023-05-01", "es", None, None, None),
        ("3", "Patient", "2010-06-15", None, "en", None, None, None),
        ("4", "Patient", "2000-12-31", None, "en", None, None, None),
        ("5", "Patient", "2000-02-29", None, "en", None, None, None),
        ("6", "Patient", "2000-05-06", None, "en", None, None, None),
    ]


def test_visits_are_in_the_practices_time_and_booked_30_days_before(
    held: Engine, omop_export: OmopExport
) -> None:
    omop_export.add("VISIT_OCCURRENCE", visit(14, 3, "2022-03-20"))  # the clocks went forward on 13
    load(held, omop_export)
    place = "Prairie Family Health, 100 Harney Street, Omaha, NE 68102"
    found = ask(
        held,
        "SELECT visit_key, CAST(start_at AS text), CAST(v.end_at AS text), CAST(booked_at AS text),"
        " v.service_line, location FROM contract.visit AS v"
        " JOIN contract.appointment AS a USING (patient_key, start_at) ORDER BY visit_key",
    )
    assert [row[:4] for row in found] == [
        ("11", "2022-01-10 09:30:00-06", "2022-01-10 10:00:00-06", "2021-12-11 09:30:00-06"),
        ("12", "2022-07-01 00:00:00-05", None, "2022-06-01 00:00:00-05"),
        ("13", "2022-07-02 00:00:00-05", None, "2022-06-02 00:00:00-05"),
        ("14", "2022-03-20 00:00:00-05", None, "2022-02-18 00:00:00-06"),
    ]
    assert found[0][4:] == ("Outpatient Visit", "North Clinic, 1 Main, Omaha")
    assert found[2][4:] == (None, place)


DRUGS: dict[str, tuple[Rows, list[tuple[str, str | None, str | None]]]] = {
    "a single course ends": (
        [drug(1, 1, 100, "2022-01-01", "2022-01-10")],
        [("1", "2022-01-11", None)],
    ),
    "a refilled one lapses": (
        [drug(1, 1, 100, "2022-01-01", "2022-01-10", refills="2")],
        [("1", None, "2022-01-10")],
    ),
    "without an end, days and refills tell it": (
        [drug(1, 1, 100, "2022-01-01", "", refills="2", days_supply="30")],
        [("1", None, "2022-03-31")],
    ),
    "without anything it lasts a day": (
        [drug(1, 1, 100, "2022-01-01", "")],
        [("1", "2022-01-02", None)],
    ),
    "a renewed one is replaced and does not lapse, the last does": (
        [drug(1, 1, 100, "2022-01-01", "2022-01-30"), drug(2, 1, 100, "2022-01-31", "2022-03-01")],
        [("1", "2022-01-31", None), ("2", None, "2022-03-01")],
    ),
    "one that was renewed late had lapsed until then": (
        [drug(1, 1, 100, "2022-01-01", "2022-01-30"), drug(2, 1, 100, "2022-02-01", "2022-03-01")],
        [("1", "2022-02-01", "2022-01-30"), ("2", None, "2022-03-01")],
    ),
    "an early short refill does not shorten what is there": (
        [drug(1, 1, 100, "2022-01-01", "2022-12-31"), drug(2, 1, 100, "2022-02-01", "2022-02-10")],
        [("1", "2022-02-01", None), ("2", None, "2022-12-31")],
    ),
    "a stopped one ends, whatever came before": (
        [
            drug(1, 1, 100, "2022-01-01", "2022-12-31"),
            drug(2, 1, 100, "2022-02-01", "2022-02-10", stop_reason="side effects"),
        ],
        [("1", "2022-02-01", None), ("2", "2022-02-11", None)],
    ),
    "one that begins again after it was stopped lapses by itself": (
        [
            drug(1, 1, 100, "2022-01-01", "2022-12-31", stop_reason="surgery"),
            drug(2, 1, 100, "2022-02-01", "2022-02-10"),
        ],
        [("1", "2022-02-01", None), ("2", None, "2022-02-10")],
    ),
    "another drug or another person renews nothing": (
        [
            drug(1, 1, 100, "2022-01-01", "2022-01-30"),
            drug(2, 1, 101, "2022-01-31", "2022-03-01"),
            drug(3, 3, 100, "2022-01-31", "2022-03-01"),
        ],
        [("1", "2022-01-31", None), ("2", "2022-03-02", None), ("3", "2022-03-02", None)],
    ),
    "one without a concept cannot be named and is left out": (
        [drug(1, 1, 0, "2022-01-01", "2022-01-30")],
        [],
    ),
}  # fmt: skip


def test_an_exposure_is_a_course_that_ends_or_a_supply_that_lapses(
    held: Engine, omop_export: OmopExport
) -> None:
    """All cases in one load: each has persons of its own."""
    expected = {}
    omop_export.rows["DRUG_EXPOSURE"] = []
    for case, (rows, told) in enumerate(DRUGS.values(), start=1):
        for row in rows:
            someone = str(case * 10 + int(row["person_id"]))
            key = f"{case}00{row['drug_exposure_id']}"
            omop_export.add("DRUG_EXPOSURE", {**row, "person_id": someone, "drug_exposure_id": key})
        omop_export.add(
            "PERSON", person(case * 10 + 1, "1970-1-1"), person(case * 10 + 3, "1970-1-1")
        )
        expected |= {f"{case}00{key}": (end, lapsed) for key, end, lapsed in told}
    load(held, omop_export)
    found = ask(
        held,
        "SELECT medication_key, CAST(CAST(end_at AS date) AS text), CAST(lapsed_on AS text),"
        " end_at = date_trunc('day', end_at) FROM contract.medication",
    )
    assert {str(key): (end, lapsed) for key, end, lapsed, _ in found} == expected
    assert {midnight for *_, midnight in found} == {True, None}


def test_a_drug_is_named_by_its_concept_and_known_to_be_sensitive(
    held: Engine, omop_export: OmopExport
) -> None:
    omop_export.add("DRUG_EXPOSURE", drug(22, 1, 101, "2022-01-10", "2022-02-08"))
    load(held, omop_export)
    statement = "SELECT name, dosage_text, sensitive_class FROM contract.medication ORDER BY 1"
    assert ask(held, statement) == [
        ("lisinopril", "10 MG Oral Tablet", None),
        ("sertraline", "50 MG Oral Tablet", "psychiatric"),
    ]


def test_files_and_headers_may_be_written_in_any_case(
    held: Engine, omop_export: OmopExport
) -> None:
    load(held, omop_export)
    before = contents(held)
    for name in omop_export.rows:
        path = omop_export.path(name)
        header, rest = path.read_text().split("\n", 1)
        path.unlink()
        (omop_export.directory / f"{name.lower()}.csv").write_text(f"{header.upper()}\n{rest}")
    load(held, omop_export)
    after = contents(held)
    for changed in ("contract.load", "omop.load"):
        del before[changed], after[changed]
    assert after == before


# --- what OMOP lacks -----------------------------------------------------------------------------


def test_without_files_of_the_practice_it_is_drawn_and_says_so(
    held: Engine, omop_export: OmopExport
) -> None:
    load(held, omop_export)
    [(contacts, real)] = ask(
        held,
        "SELECT count(*), count(*) FILTER (WHERE email NOT LIKE '%@example.org')"
        " FROM contract.contact",
    )
    assert (contacts, real) == (3, 0)
    versions = ask(held, 'SELECT DISTINCT form_version FROM contract."authorization"')
    assert versions == [("synthetic-1",)]


def test_files_of_the_practice_are_taken_as_they_are_and_nothing_is_drawn(
    held: Engine, omop_export: OmopExport
) -> None:
    signed = "2022-01-10T15:00:00Z"
    omop_export.provide(
        person=[{"person_id": "1", "given_name": "Ana", "language": "es"}],
        contact=[{"patient_key": "1", "email": "a@example.com", "smime_certificate": "x\n" * 900}],
        authorization=[
            {
                "authorization_key": "f1",
                "patient_key": "1",
                "purpose": "email",
                "signed_at": signed,
                "compound": "false",
            }
        ],
        programme=[{"patient_key": "3", "category": "hiv", "since": signed}],
    )
    load(held, omop_export)
    counts = {
        view: ask(held, f'SELECT count(*) FROM contract."{view}"')[0][0] for view in omop_views()
    }
    assert counts == {
        "contact": 1, "representative": 0, "authorization": 1, "restriction": 0, "opt_out": 0,
        "programme": 1,
    }  # fmt: skip
    names = "SELECT given_name, language, sensitive_programme FROM contract.patient ORDER BY 1, 3"
    assert ask(held, names) == [
        ("Ana", "es", False),
        ("Patient", None, False),
        ("Patient", None, True),
    ]
    form = 'SELECT compound, conditioned, recipient FROM contract."authorization"'
    assert ask(held, form) == [(False, None, None)]


def omop_views() -> tuple[str, ...]:
    return omop.side.VIEWS


# --- bad input -----------------------------------------------------------------------------------

Spoil = Callable[[OmopExport], object]
FAULTS: list[tuple[Spoil, str]] = [
    (lambda e: e.path("DEATH").unlink(), "DEATH.csv is missing in"),
    (lambda e: e.path("CONCEPT").write_text("concept_id\n9202\n"), "CONCEPT.csv line 1: column co"),
    (lambda e: e.path("PERSON").write_text("person_id;x\n"), "PERSON.csv line 1: column person_id"),
    (lambda e: e.change("PERSON", 2, person_id="canary"), "PERSON.csv line 3, column person_id: n"),
    (lambda e: e.add("PERSON", person_id="1"), "PERSON.csv line 5, column person_id: the key is"),
    (lambda e: e.change("PERSON", 2, year_of_birth="1066"), "line 3, column year_of_birth: no yea"),
    (lambda e: e.change("PERSON", 2, month_of_birth="13"), "line 3, column month_of_birth: no mon"),
    (lambda e: e.change("PERSON", 1, day_of_birth="0"), "line 2, column day_of_birth: no day of t"),
    (lambda e: e.change("PERSON", 2, month_of_birth="2"), "line 3, column day_of_birth: no day of"),
    (lambda e: e.change("PERSON", 1, birth_datetime="1971-03-04"), "birth_datetime: not in year_o"),
    (lambda e: e.change("PERSON", 1, location_id="6"), "location_id: no such location_id in LOCAT"),
    (lambda e: e.change("DEATH", 1, person_id="77"), "DEATH.csv line 2, column person_id: no such"),
    (lambda e: e.change("DEATH", 1, death_date="1979-05-01"), "death_date: before the year of bir"),
    (lambda e: e.change("DEATH", 1, death_date="1/5/2023"), "column death_date: no date, expected"),
    (lambda e: e.add("DEATH"), "DEATH.csv line 3, column person_id: the key is there twice"),
    (lambda e: e.add("LOCATION"), "LOCATION.csv line 3, column location_id: the key is there twic"),
    (lambda e: e.add("CARE_SITE"), "CARE_SITE.csv line 3, column care_site_id: the key is there t"),
    (lambda e: e.change("CARE_SITE", 1, location_id="6"), "CARE_SITE.csv line 2, column location_"),
    (lambda e: e.change("VISIT_OCCURRENCE", 2, person_id="77"), "VISIT_OCCURRENCE.csv line 3, "
     "column person_id: no such person_id in PERSON.csv; export both files together"),
    (lambda e: e.change("VISIT_OCCURRENCE", 2, care_site_id="8"), "column care_site_id: no such c"),
    (lambda e: e.add("VISIT_OCCURRENCE"), "line 5, column visit_occurrence_id: the key is there t"),
    (lambda e: e.change("VISIT_OCCURRENCE", 1, visit_start_date="never"), "visit_start_date: no d"),
    (lambda e: e.change("VISIT_OCCURRENCE", 1, visit_end_date="2022-01-09"), "visit_end_date: bef"),
    (lambda e: e.change("VISIT_OCCURRENCE", 1, visit_start_datetime="2022-01-10 09:30:00Z"),
     "column visit_start_datetime: no local time, expected the form 2023-06-01 15:00:00 without"),
    (lambda e: e.change("DRUG_EXPOSURE", 1, person_id="77"), "DRUG_EXPOSURE.csv line 2, column pe"),
    (lambda e: e.change("DRUG_EXPOSURE", 1, drug_concept_id="5"), "no such concept_id in CONCEPT."),
    (lambda e: e.change("DRUG_EXPOSURE", 1, days_supply="99999"), "days_supply: expected 0 to 366"),
    (lambda e: e.change("DRUG_EXPOSURE", 1, refills="-1"), "column refills: expected 0 to 100"),
    (lambda e: e.add("DRUG_EXPOSURE"), "line 3, column drug_exposure_id: the key is there twice"),
    (lambda e: e.add("CONCEPT", concept_id="100"), "CONCEPT.csv line 7, column concept_id: the ke"),
]  # fmt: skip
CONTACT = {"patient_key": "1"}
FORM = {"authorization_key": "f", "patient_key": "1", "purpose": "email"}
SIDE_FAULTS: list[tuple[dict[str, Rows], str]] = [
    ({"contact": [CONTACT, CONTACT]}, "reengage_contact.csv line 3, column patient_key: the key i"),
    ({"contact": [{"patient_key": "77"}]}, "reengage_contact.csv line 2, column patient_key: no s"),
    ({"contact": [{**CONTACT, "verified_at": "2022-01-10"}]}, "column verified_at: no instant"),
    ({"authorization": [FORM, FORM]}, "reengage_authorization.csv line 3, column authorization_ke"),
    ({"authorization": [{**FORM, "purpose": ""}]}, "column purpose: empty; fill it"),
    ({"authorization": [{**FORM, "compound": "no"}]}, "column compound: no flag, expected true or"),
    ({"opt_out": [{"patient_key": "1"}]}, "reengage_opt_out.csv line 2, column at: empty; fill it"),
    ({"person": [{"person_id": "77", "given_name": "Canary"}]}, "reengage_person.csv line 2, colu"),
]  # fmt: skip


def assert_refused(held: Engine, export: OmopExport, told: str) -> None:
    state = (
        "SELECT l.loaded_at, (SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relkind = 'r')"
        " FROM contract.load AS l"
    )
    before = ask(held, state)
    with pytest.raises(SourceDataError) as error:
        loading.load(held, omop.SOURCE, export.directory)
    assert told in str(error.value)
    for value in ("canary", "Canary", "77", "1066", "99999"):
        assert value not in str(error.value).replace(str(export.directory), "")
    assert ask(held, state) == before


@pytest.mark.parametrize(("spoil", "told"), FAULTS, ids=[told for _, told in FAULTS])
def test_a_fault_is_named_by_its_place_and_the_warehouse_is_as_it_was(
    held: Engine, omop_export: OmopExport, spoil: Spoil, told: str
) -> None:
    spoil(omop_export)
    assert_refused(held, omop_export, told)


@pytest.mark.parametrize(("rows", "told"), SIDE_FAULTS, ids=[told for _, told in SIDE_FAULTS])
def test_a_fault_in_a_file_of_the_practice_is_named_too(
    held: Engine, omop_export: OmopExport, rows: dict[str, Rows], told: str
) -> None:
    omop_export.provide(**rows)
    assert_refused(held, omop_export, told)


def test_files_of_the_practice_come_all_or_none(held: Engine, omop_export: OmopExport) -> None:
    """An opt-out file that was forgotten must not become letters to those in it."""
    omop_export.provide()
    omop_export.path("reengage_opt_out").unlink()
    assert_refused(held, omop_export, "reengage_opt_out.csv is missing in")


# --- in the place of another source --------------------------------------------------------------


def test_one_source_takes_the_place_of_another(
    held: Engine, omop_export: OmopExport, export: SmallExport
) -> None:
    load(held, omop_export)
    assert loading.already_loaded(held, omop.SOURCE, omop_export.directory)
    loading.load(held, synthea.SOURCE, export.directory)
    assert not loading.already_loaded(held, omop.SOURCE, omop_export.directory)
    assert warehouse.check(held, load_contract(HOME)) == []
    assert {name.split(".")[0] for name in contents(held)} == {"contract", "synthea"}
    load(held, omop_export)
    assert {name.split(".")[0] for name in contents(held)} == {"contract", "omop"}


def test_a_loaded_export_is_known_until_a_file_changes_or_the_practice_moves(
    held: Engine, omop_export: OmopExport, home: Path
) -> None:
    load(held, omop_export)
    assert loading.already_loaded(held, omop.SOURCE, omop_export.directory)
    practice = (home / "practice.yaml").read_text()
    (home / "practice.yaml").write_text(practice.replace("America/Chicago", "America/Denver"))
    assert not loading.already_loaded(held, omop.SOURCE, omop_export.directory, home)
    omop_export.provide()
    assert not loading.already_loaded(held, omop.SOURCE, omop_export.directory)
