"""The check of a warehouse: what its views get wrong is told in counts, with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from databases import Makes
from export import SmallExport
from reengage import warehouse
from reengage.contract import load_contract
from reengage.errors import ConfigurationError
from reengage.settings import HOME
from reengage.sources import loading, synthea
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from world import NOW, World

CONTRACT = load_contract(HOME)


@pytest.fixture
def practice_of_two(world: World) -> World:
    world.patient("canary-1")
    world.patient("canary-2")
    return world


def findings(world: World) -> list[str]:
    return [str(finding) for finding in warehouse.check(world.engine, CONTRACT)]


def test_a_warehouse_as_the_contract_says_has_no_findings(practice_of_two: World) -> None:
    assert findings(practice_of_two) == []


WRONG = [
    (
        "DROP TABLE contract.restriction",
        "contract.restriction.*: the view is missing, or hidden from this role;"
        " create it as the contract says, grant SELECT",
    ),
    (
        "ALTER TABLE contract.patient DROP COLUMN time_zone",
        "contract.patient.time_zone: the column is missing; add it",
    ),
    (
        "ALTER TABLE contract.patient DROP COLUMN patient_key",
        "contract.patient.patient_key: the column is missing; add it",
    ),
    (
        "ALTER TABLE contract.patient ALTER COLUMN birth_date TYPE timestamp",
        "contract.patient.birth_date: its type is timestamp without time zone, expected date;"
        " cast it in the view",
    ),
    (
        "ALTER TABLE contract.contact ALTER COLUMN email TYPE varchar(80)",
        "contract.contact.email: its type is character varying, expected text; cast it in the view",
    ),
    (
        "UPDATE contract.patient SET given_name = NULL WHERE patient_key = 'canary-1'",
        "contract.patient.given_name: 1 row is null; fill them, or leave the rows out",
    ),
    (
        "UPDATE contract.visit SET start_at = NULL",
        "contract.visit.start_at: 2 rows are null; fill them, or leave the rows out",
    ),
    (
        "INSERT INTO contract.contact SELECT * FROM contract.contact",
        "contract.contact.patient_key: 2 rows are there again under the same key;"
        " give each key one row",
    ),
    (
        "INSERT INTO contract.patient SELECT * FROM contract.patient LIMIT 1",
        "contract.patient.patient_key: 1 row is there again under the same key;"
        " give each key one row",
    ),
    (
        "UPDATE contract.appointment SET appointment_key = 'canary-x'",
        "contract.appointment.appointment_key: 1 row is there again under the same key;"
        " give each key one row",
    ),
    (
        "UPDATE contract.appointment SET status = 'Booked' WHERE patient_key = 'canary-1'",
        "contract.appointment.status: 1 row is of another form than booked|cancelled;"
        " write it in the view as the contract does",
    ),
    (
        "UPDATE contract.patient SET state = 'Nebraska'",
        "contract.patient.state: 2 rows are of another form than [A-Z]{2};"
        " write it in the view as the contract does",
    ),
    (
        "UPDATE contract.visit SET patient_key = 'canary-3' WHERE patient_key = 'canary-1'",
        "contract.visit.patient_key: 1 row is of a patient whom contract.patient does not have;"
        " use the same key in every view, or leave the rows out",
    ),
    (
        "DELETE FROM contract.load",
        "contract.load.*: it has 0 rows; let the view give exactly one",
    ),
    (
        "INSERT INTO contract.load SELECT * FROM contract.load",
        "contract.load.*: it has 2 rows; let the view give exactly one",
    ),
    (
        "DROP TABLE contract.opt_out; CREATE VIEW contract.opt_out AS"
        " SELECT patient_key, CAST(NULL AS text) AS campaign,"
        " CAST(given_name AS timestamptz) AS at FROM contract.patient",
        "contract.opt_out.*: reading it fails with InvalidDatetimeFormat; mend its SELECT",
    ),
]


@pytest.mark.parametrize(("statement", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_fault_is_told_with_its_place_a_count_and_the_way_out(
    practice_of_two: World, statement: str, told: str
) -> None:
    practice_of_two.execute(statement)
    assert findings(practice_of_two) == [told]
    assert "canary" not in told


def test_a_representative_of_two_patients_and_two_of_one_patient_are_no_fault(
    practice_of_two: World,
) -> None:
    for patient, person in (("canary-1", "a"), ("canary-1", "b"), ("canary-2", "a")):
        row = {"authority": "parent", "email": None, "verified_at": NOW, "blocked": False}
        practice_of_two.set("representative", patient_key=patient, representative_key=person, **row)
    assert findings(practice_of_two) == []
    practice_of_two.execute("INSERT INTO contract.representative TABLE contract.representative")
    [found] = findings(practice_of_two)
    assert found.startswith("contract.representative.patient_key, representative_key: 3 rows are")


def test_all_faults_are_told_at_once(practice_of_two: World) -> None:
    for statement, _ in WRONG[:2]:
        practice_of_two.execute(statement)
    practice_of_two.execute("UPDATE contract.medication SET name = NULL, dosage_text = NULL")
    assert [found.split(":")[0] for found in findings(practice_of_two)] == [
        "contract.medication.name",
        "contract.medication.dosage_text",
        "contract.patient.time_zone",
        "contract.restriction.*",
    ]


def test_an_empty_database_lacks_every_view(database: Makes) -> None:
    engine = warehouse.connect(database(None))
    assert [finding.view for finding in warehouse.check(engine, CONTRACT)] == [
        view.name for view in CONTRACT.views
    ]


def test_the_contract_promises_one_row_where_statements_join_by_key() -> None:
    keys = {view.name: view.key for view in CONTRACT.views}
    for view in ("patient", "contact"):
        assert keys[view] == ("patient_key",)
    for view in ("appointment", "medication", "visit", "authorization"):
        assert keys[view] == (f"{view}_key",)
    assert (keys["load"], keys["opt_out"]) == ((), None)


def test_a_key_that_names_no_column_is_refused_with_file_and_line(home: Path) -> None:
    path = home / "sql" / "contract" / "patient.yaml"
    path.write_text(path.read_text().replace("key: [patient_key]", "key: [patient_kye]"))
    with pytest.raises(ConfigurationError, match=r"sql/contract/patient\.yaml:.*patient_kye; mend"):
        load_contract(home)


# --- roles and connections -----------------------------------------------------------------------


def test_a_reader_of_any_name_gets_the_views_and_what_is_granted_twice_is_granted(
    practice_of_two: World,
) -> None:
    role = 'odd "name"; DROP'
    with practice_of_two.engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA private"))
        connection.execute(text("CREATE TABLE private.note (words text)"))
        for _ in range(2):
            warehouse.grant_reader(connection, role)
    url = practice_of_two.engine.url.set(username=role)
    engine = warehouse.connect(url.render_as_string(hide_password=False))
    assert warehouse.check(engine, CONTRACT) == []
    with engine.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
        connection.execute(text("SELECT * FROM private.note"))
    with practice_of_two.engine.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote(role)
        connection.execute(text(f"DROP OWNED BY {quoted}"))
        connection.execute(text(f"DROP ROLE {quoted}"))


def test_a_view_that_was_not_granted_is_told_as_hidden(practice_of_two: World) -> None:
    with practice_of_two.engine.begin() as connection:
        warehouse.grant_reader(connection)
        connection.execute(text(f"REVOKE SELECT ON contract.visit FROM {warehouse.READER}"))
    url = practice_of_two.engine.url.set(username=warehouse.READER)
    engine = warehouse.connect(url.render_as_string(hide_password=False))
    [found] = warehouse.check(engine, CONTRACT)
    assert str(found).startswith("contract.visit.*: the view is missing, or hidden from this role")


def test_sessions_speak_utc_whatever_the_server_prefers(database: Makes) -> None:
    url = database(None)
    with create_engine(url).begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'"))
    with warehouse.connect(url).connect() as connection:
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"


@pytest.mark.parametrize(
    "url",
    ["", "canary", "postgresql+psycopg://u:canary@h:port/d", "canary://u@h/d", "oracle://u@h/d"],
)
def test_a_url_that_is_none_is_told_without_its_text(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"REENGAGE_WAREHOUSE_URL names no .* write it like"
    ):
        warehouse.connect(url)
    with pytest.raises(ConfigurationError) as error:
        warehouse.connect(url)
    assert "canary" not in str(error.value)
    assert error.value.__suppress_context__


# --- the command ---------------------------------------------------------------------------------


def reengage(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reengage", "warehouse", "check"],
        env={**os.environ, "PYTHONPATH": str(HOME / "plugins"), "REENGAGE_WAREHOUSE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_that_a_source_keeps_the_contract(database: Makes, tmp_path: Path) -> None:
    url = database(None)
    loading.load(create_engine(url), synthea.SOURCE, SmallExport.write(tmp_path).directory)
    done = reengage(url.replace("postgres@", f"{warehouse.READER}@"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "the warehouse's views are as the contract says" in done.stdout


def test_the_command_names_every_fault_and_ends_with_1(practice_of_two: World) -> None:
    for statement, _ in WRONG[4:6]:
        practice_of_two.execute(statement)
    done = reengage(practice_of_two.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [told for _, told in WRONG[4:6]]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql+psycopg://u:canary@localhost:1/w",
            "the warehouse at postgresql+psycopg://u:***",
        ),
        ("nonsense", "setting REENGAGE_WAREHOUSE_URL names no database"),
    ],
)
def test_the_command_names_a_warehouse_that_is_not_there(url: str, told: str) -> None:
    done = reengage(url)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {told}")
    assert "canary" not in line
