"""Loading a Synthea export: all of it or nothing, whatever is wrong with it."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from export import ROWS, SmallExport, contents
from reengage import warehouse
from reengage.contract import load_contract
from reengage.errors import SourceDataError
from reengage.settings import HOME
from reengage.sources import csvfile, loading, synthea
from sqlalchemy import Engine, text

# --- bad input -----------------------------------------------------------------------------------

FAULTS = [
    ("patients", 2, {"BIRTHDATE": "31/12/1980"}, "patients.csv line 3, column BIRTHDATE: no date"),
    ("patients", 2, {"BIRTHDATE": "2023-02-30"}, "patients.csv line 3, column BIRTHDATE: no date"),
    ("patients", 1, {"BIRTHDATE": "2023-W22-4"}, "patients.csv line 2, column BIRTHDATE: no date"),
    ("patients", 1, {"BIRTHDATE": "0001-01-01"}, "expected the form 2023-06-01, in the years 1850"),
    ("patients", 1, {"BIRTHDATE": "9999-12-31"}, "in the years 1850 to 2199"),
    ("patients", 1, {"DEATHDATE": "9999-12-31"}, "leave it empty where there is none"),
    ("patients", 1, {"DEATHDATE": "1910-01-10"}, "line 2, column DEATHDATE: before BIRTHDATE; me"),
    ("patients", 3, {"FIRST": ""}, "patients.csv line 4, column FIRST: empty; fill it"),
    ("patients", 3, {"LAST": " "}, "patients.csv line 4, column LAST: empty; fill it"),
    ("patients", 3, {"Id": ""}, "patients.csv line 4, column Id: empty; fill it"),
    ("patients", 3, {"FIRST": "Nul\0name"}, "line 4, column FIRST: no text, expected at most 500"),
    ("patients", 3, {"Id": "x" * 3000}, "line 4, column Id: no text, expected at most 500"),
    ("patients", 3, {"Id": "pat-1"}, "patients.csv line 4, column Id: the key is there twice; re"),
    ("organizations", 2, {"Id": "org-1"}, "organizations.csv line 3, column Id: the key is there"),
    ("encounters", 3, {"Id": "enc-1"}, "encounters.csv line 4, column Id: the key is there twice"),
    ("encounters", 1, {"START": "2022-01-15T10:00:00"}, "line 2, column START: no instant, expect"),
    ("encounters", 1, {"START": "2022-01-15"}, "expected the form 2023-06-01T15:00:00Z, in the ye"),
    ("encounters", 1, {"START": "0001-01-01T00:00:00+14:00"}, "line 2, column START: no instant"),
    ("encounters", 1, {"STOP": "9999-12-31T23:59:59-12:00"}, "line 2, column STOP: no instant"),
    ("encounters", 1, {"START": "2022-01-15T10:00:00+23:00"}, "line 2, column START: no instant"),
    ("encounters", 2, {"STOP": "2022-02-15T09:59:59Z"}, "line 3, column STOP: before START; mend"),
    ("encounters", 2, {"PATIENT": "pat-9"}, "line 3, column PATIENT: no such Id in patients.csv"),
    ("encounters", 2, {"ORGANIZATION": "org-9"}, "ORGANIZATION: no such Id in organizations.csv"),
    ("medications", 2, {"PATIENT": "pat-9"}, "medications.csv line 3, column PATIENT: no such Id"),
    ("medications", 2, {"ENCOUNTER": "enc-9"}, "no such Id in encounters.csv; export both files"),
    ("medications", 2, {"START": "yesterday"}, "medications.csv line 3, column START: no instant"),
    ("medications", 2, {"DESCRIPTION": ""}, "medications.csv line 3, column DESCRIPTION: empty"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "row", "cells", "told"), FAULTS)
def test_a_wrong_cell_is_named_by_its_place_and_the_warehouse_is_as_it_was(
    kept: Engine, export: SmallExport, file: str, row: int, cells: dict[str, str], told: str
) -> None:
    before = contents(kept)
    export.change(file, row, **cells)
    with pytest.raises(SourceDataError) as error:
        loading.load(kept, synthea.SOURCE, export.directory)
    assert told in str(error.value)
    assert_no_value(str(error.value), export)
    assert contents(kept) == before


SPOILT: list[tuple[str, Callable[[SmallExport], object], str]] = [
    ("no file", lambda e: e.path("encounters").unlink(), "encounters.csv is missing in"),
    ("no column", lambda e: e.replace("encounters", "STOP", "END"), "column STOP is missing; exp"),
    ("ragged", lambda e: e.replace("medications", ",enc-2", ""), "line 3: 5 fields, the header h"),
    ("quote", lambda e: e.replace("patients", "Firstname2", '"Firstname2'), "line 3: not well-fo"),
    ("latin-1", lambda e: latin1(e), "patients.csv line 3: not UTF-8; export the file as UTF-8"),
    ("empty", lambda e: e.path("medications").write_bytes(b""), "medications.csv line 1: column S"),
    ("cut", lambda e: cut(e.path("encounters")), "encounters.csv line 4: 4 fields, the header"),
]


@pytest.mark.parametrize(("spoil", "told"), [s[1:] for s in SPOILT], ids=[s[0] for s in SPOILT])
def test_a_wrong_file_is_named_by_its_place_and_the_warehouse_is_as_it_was(
    kept: Engine, export: SmallExport, spoil: Callable[[SmallExport], object], told: str
) -> None:
    before = contents(kept)
    spoil(export)
    with pytest.raises(SourceDataError) as error:
        loading.load(kept, synthea.SOURCE, export.directory)
    assert told in str(error.value)
    assert_no_value(str(error.value).replace(str(export.directory), ""), export)
    assert contents(kept) == before


def latin1(export: SmallExport) -> None:
    content = export.path("patients").read_text().replace("Firstname2", "Fran\u00e7ois")
    export.path("patients").write_bytes(content.encode("latin-1"))


def cut(path: Path) -> None:
    """As after a disk that was full: the last row ends within."""
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"pat-3") + 3])


def assert_no_value(message: str, export: SmallExport) -> None:
    words = set(re.findall(r"[^\s,;]+", message))
    assert words & export.cells() == set()
    assert not re.search(r"(pat|org|enc)-\d|Firstname|Lastname|Nul|xxx|Fran", message)


def test_a_first_load_that_fails_leaves_nothing(engine: Engine, export: SmallExport) -> None:
    export.change("medications", 2, ENCOUNTER="enc-9")
    with pytest.raises(SourceDataError):
        loading.load(engine, synthea.SOURCE, export.directory)
    assert contents(engine) == {}
    assert not loading.already_loaded(engine, synthea.SOURCE, export.directory)


def test_what_only_postgresql_refuses_is_told_without_its_words(
    kept: Engine, export: SmallExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(kept)
    monkeypatch.setitem(csvfile.FORMS, "date", lambda value: True)
    export.change("patients", 2, BIRTHDATE="canary")
    with pytest.raises(SourceDataError, match=r"^patients\.csv: .*SQLSTATE 22007") as error:
        loading.load(kept, synthea.SOURCE, export.directory)
    assert "canary" not in str(error.value)
    assert error.value.__suppress_context__
    assert contents(kept) == before


# --- sound input ---------------------------------------------------------------------------------


def test_the_report_counts_the_rows(loaded: Engine, export: SmallExport) -> None:
    found = loading.load(loaded, synthea.SOURCE, export.directory).tables
    assert found == {"patients": 3, "organizations": 2, "encounters": 3, "medications": 2}


def test_no_column_that_the_contract_does_not_need_is_loaded(loaded: Engine) -> None:
    held = " ".join(row for rows in contents(loaded).values() for row in rows)
    unread = ("SSN", "PASSPORT", "RACE", "ADDRESS")  # PRV-18
    values = [row[column] for row in ROWS["patients"] for column in unread]
    values += [row["REASONDESCRIPTION"] for row in ROWS["encounters"]]
    assert [value for value in values if value in held] == []
    assert "Firstname1" in held


def test_another_dress_of_the_files_gives_the_same_warehouse(
    loaded: Engine, export: SmallExport
) -> None:
    before = contents(loaded)
    for name, rows in ROWS.items():
        with export.path(name).open("w", encoding="utf-8-sig", newline="") as file:
            columns = ["MORE", *reversed(rows[0])]
            writer = csv.DictWriter(file, columns, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows({**row, "MORE": "two\r\nlines, at least"} for row in rows)
    loading.load(loaded, synthea.SOURCE, export.directory)
    after = contents(loaded)
    for changed in ("contract.load", "synthea.load"):
        del before[changed], after[changed]
    assert after == before


def test_an_export_without_a_row_is_loaded_as_such(engine: Engine, export: SmallExport) -> None:
    for name in ROWS:
        header = export.path(name).read_text().splitlines()[0]
        export.path(name).write_text(header + "\n")
    assert set(loading.load(engine, synthea.SOURCE, export.directory).tables.values()) == {0}
    assert warehouse.check(engine, load_contract(HOME)) == []


def test_a_name_of_digits_only_stays(engine: Engine, export: SmallExport) -> None:
    export.change("patients", 1, FIRST="123")
    loading.load(engine, synthea.SOURCE, export.directory)
    with engine.connect() as connection:
        names = connection.execute(text("SELECT given_name FROM contract.patient ORDER BY 1"))
        assert names.scalars().all() == ["123", "Firstname", "Firstname"]


def test_a_prescription_that_stops_before_it_starts_is_loaded_and_ended(
    engine: Engine, export: SmallExport
) -> None:
    export.change("medications", 1, STOP="2022-01-10T00:00:00Z")  # as Synthea writes some
    loading.load(engine, synthea.SOURCE, export.directory)
    assert medications(engine)["pat-1"] == [("2022-01-10", None)]


def test_a_prescription_written_twice_is_one_and_open_if_either_is(
    engine: Engine, export: SmallExport
) -> None:
    export.add("medications", STOP="2022-03-01T00:00:00Z")
    export.change("medications", 1, STOP="2022-03-01T00:00:00Z")
    loading.load(engine, synthea.SOURCE, export.directory)
    assert medications(engine) == {"pat-1": [("2022-03-01", None)], "pat-2": [(None, None)]}


def medications(engine: Engine) -> dict[str, list[tuple[str | None, str | None]]]:
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT patient_key, CAST(CAST(end_at AT TIME ZONE 'UTC' AS date) AS text),"
                " CAST(lapsed_on AS text)"
                " FROM contract.medication"
            )
        ).all()
    return {key: [(end, lapsed) for k, end, lapsed in found if k == key] for key, _, _ in found}


def test_keys_and_days_are_the_same_in_a_session_of_any_time_zone(loaded: Engine) -> None:
    statement = text("SELECT medication_key, lapsed_on FROM contract.medication ORDER BY 1")
    with loaded.connect() as connection:
        found = []
        for zone in ("UTC", "Pacific/Kiritimati", "America/Chicago"):
            connection.execute(text(f"SET timezone = '{zone}'"))
            found.append(connection.execute(statement).all())
    assert found[0] == found[1] == found[2]


# --- twice, and changed --------------------------------------------------------------------------


def test_loading_twice_gives_the_same_warehouse(loaded: Engine, export: SmallExport) -> None:
    once = contents(loaded)
    loading.load(loaded, synthea.SOURCE, export.directory)
    twice = contents(loaded)
    for moment in ("contract.load", "synthea.load"):
        assert len(once.pop(moment)) == len(twice.pop(moment)) == 1
    assert twice == once
    side = ("contact", "representative", "authorization", "restriction", "opt_out", "programme")
    derived = ("drawn", "medicines", "sensitive_medicines", "states", *side)
    views = {f"contract.{view.name}" for view in load_contract(HOME).views} - {"contract.load"}
    assert {name.replace('"', "") for name in once} == views | {
        f"synthea.{name}" for name in (*ROWS, *derived)
    }


def test_a_loaded_export_is_known_until_a_file_of_it_changes(
    loaded: Engine, export: SmallExport
) -> None:
    assert loading.already_loaded(loaded, synthea.SOURCE, export.directory)
    export.change("medications", 2, CODE="1")
    assert not loading.already_loaded(loaded, synthea.SOURCE, export.directory)
    export.change("medications", 2, CODE="314072")
    assert loading.already_loaded(loaded, synthea.SOURCE, export.directory)
    export.path("organizations").unlink()
    assert not loading.already_loaded(loaded, synthea.SOURCE, export.directory)


@pytest.mark.parametrize(
    "name",
    [
        "sources/synthea/4_contract.sql",
        "sources/parts/drawn.sql",
        "contract/sensitive_medicines.csv",
    ],
)
def test_a_loaded_export_is_no_longer_known_when_our_own_files_change(
    loaded: Engine, export: SmallExport, home: Path, name: str
) -> None:
    assert loading.already_loaded(loaded, synthea.SOURCE, export.directory, home)
    with (home / "sql" / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert not loading.already_loaded(loaded, synthea.SOURCE, export.directory, home)


@pytest.mark.parametrize("schema", ["contract", "synthea"])
def test_a_load_whose_schema_is_gone_is_no_longer_known(
    loaded: Engine, export: SmallExport, schema: str
) -> None:
    with loaded.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    assert not loading.already_loaded(loaded, synthea.SOURCE, export.directory)


def test_a_copy_of_the_files_elsewhere_is_the_same_export(
    loaded: Engine, export: SmallExport, tmp_path: Path
) -> None:
    shutil.copytree(export.directory, tmp_path / "copy")
    assert loading.already_loaded(loaded, synthea.SOURCE, tmp_path / "copy")
