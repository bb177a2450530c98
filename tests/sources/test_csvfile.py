"""CSV files: read strictly, in constant memory; a fault is named by its place, not its value."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reengage.embedded.postgres import Postgres
from reengage.errors import SourceDataError
from reengage.sources.csvfile import FORMS, MAX_CHARACTERS, CsvColumn, CsvTable, read_rows
from sqlalchemy import Connection, create_engine, text

TABLE = CsvTable(
    "things.csv",
    (
        CsvColumn("Id"),
        CsvColumn("AT", "instant", required=False),
        CsvColumn("NOTE", required=False),
    ),
)
HEADER = "Id,AT,NOTE\n"


def rows(tmp_path: Path, content: str | bytes) -> list[tuple[int, list[str | None]]]:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "things.csv").write_bytes(data)
    return list(read_rows(tmp_path, TABLE))


def fault(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(SourceDataError) as error:
        rows(tmp_path, content)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value)


def test_rows_come_as_text_with_their_lines_and_empty_cells_as_none(tmp_path: Path) -> None:
    found = rows(tmp_path, HEADER + "a,2023-06-01T15:00:00Z,first\nb,, \n")
    assert found == [(2, ["a", "2023-06-01T15:00:00Z", "first"]), (3, ["b", None, None])]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("Id,AT,NOTE\r\na,,x\r\nb,,y\r\n", id="CRLF"),
        pytest.param("Id,AT,NOTE\ra,,x\rb,,y\r", id="CR"),
        pytest.param("\ufeffId,AT,NOTE\na,,x\nb,,y\n", id="byte order mark"),
        pytest.param("Id,AT,NOTE\na,,x\nb,,y", id="no line break at the end"),
        pytest.param("Id,AT,NOTE\na,,x\nb,,y\n\n\n", id="empty lines at the end"),
        pytest.param('"Id","AT","NOTE"\n"a","","x"\n"b","","y"\n', id="all quoted"),
        pytest.param("MORE,NOTE,Id,AT\n1,x,a,\n2,y,b,\n", id="other order, more columns"),
        pytest.param("Id,AT,NOTE,,\na,,x,,\nb,,y,,\n", id="nameless columns at the end"),
    ],
)
def test_the_same_rows_in_another_dress_are_the_same(tmp_path: Path, content: str) -> None:
    assert [row for _, row in rows(tmp_path, content)] == [["a", None, "x"], ["b", None, "y"]]


def test_a_line_break_in_quotes_belongs_to_its_cell_and_rows_keep_their_own_line(
    tmp_path: Path,
) -> None:
    found = rows(tmp_path, HEADER + 'a,,"one\ntwo\r\nthree"\n\nb,,x\n')
    assert found == [(2, ["a", None, "one\ntwo\r\nthree"]), (6, ["b", None, "x"])]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("", "line 1: column Id, AT, NOTE is missing; export", id="empty file"),
        pytest.param("Id;AT;NOTE\n", "line 1: column Id, AT, NOTE is missing", id="semicolons"),
        pytest.param("Id,NOTE\na,x\n", "line 1: column AT is missing; export", id="no column"),
        pytest.param("Id,AT,NOTE,Id\n", "line 1: column Id is there twice; export", id="twice"),
        pytest.param(HEADER + "a,,x\nsecret\n", "line 3: 1 fields, the header has 3", id="short"),
        pytest.param(HEADER + "a,,secret,y\n", "line 2: 4 fields, the header has 3", id="long"),
        pytest.param(HEADER + 'a,,x\nb,,"secret\nc,,y\n', "line 3: not well-formed CSV", id="open"),
        pytest.param(HEADER + 'a,,"x" secret\n', "line 2: not well-formed CSV", id="after quote"),
        pytest.param(
            HEADER + 'a,,"x\ny"\nb,secret,\n', "line 4, column AT: no instant", id="below"
        ),
        pytest.param(HEADER + " ,,secret\n", "line 2, column Id: empty; fill it", id="blank"),
        pytest.param(HEADER + "a,,secret\0\n", "line 2, column NOTE: no text", id="NUL"),
        pytest.param(HEADER + "a,," + "secret" * 99, "line 2, column NOTE: no text", id="too long"),
        pytest.param(HEADER + 'a,,"' + "secret," * 40_000, "line 2: not well-formed", id="endless"),
    ],
)
def test_a_fault_names_file_line_column_and_fix_but_no_value(
    tmp_path: Path, content: str, told: str
) -> None:
    found = fault(tmp_path, content)
    assert found.startswith("things.csv " + told)
    assert ";" in found or "expected" in found
    assert "secret" not in found


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 4003), ("cp1252", 4003), ("utf-16", 1)])
def test_another_encoding_is_named_with_the_line_that_gives_it_away(
    tmp_path: Path, encoding: str, line: int
) -> None:
    many = "".join(f"{n},,filler\n" for n in range(4000))  # beyond what is decoded at once
    found = fault(tmp_path, (HEADER + many + "a,,x\nb,,secr\u00e9t\n").encode(encoding))
    assert found == f"things.csv line {line}: not UTF-8; export the file as UTF-8"


def test_a_missing_file_is_named_with_the_directory(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"things\.csv is missing in .*; export it with"):
        list(read_rows(tmp_path, TABLE))


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("date", "2023-06-01"), ("date", "2024-02-29"), ("date", "1850-01-01"),
        ("instant", "2023-06-01T15:00:00Z"), ("instant", "2023-06-01T15:00Z"),
        ("instant", "2023-06-01T15:00:00.123456+05:30"), ("instant", "2199-12-31T23:59:59-14:00"),
        ("text", "\u00e9\U0001f600"), ("text", "x" * MAX_CHARACTERS),
    ],
)  # fmt: skip
def test_a_value_of_its_form_is_taken(form: str, value: str) -> None:
    assert FORMS[form](value)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("date", "2023-13-01"), ("date", "2023-02-30"), ("date", "20230601"), ("date", "1/6/2023"),
        ("date", "2023-W22-4"), ("date", "2023-6-1"), ("date", " 2023-06-01"), ("date", "infinity"),
        ("date", "0001-01-01"), ("date", "9999-12-31"), ("date", "2023-06-01T00:00:00Z"),
        ("date", "\u0662\u0660\u0662\u0663-06-01"),
        ("instant", "2023-06-01T15:00:00"), ("instant", "2023-06-01"), ("instant", "now"),
        ("instant", "2023-06-01 15:00:00Z"), ("instant", "2023-06-01x15:00:00Z"),
        ("instant", "2023-W22-4T15:00:00Z"), ("instant", "20230601T150000Z"),
        ("instant", "2023-02-30T15:00:00Z"), ("instant", "2023-06-01T25:00:00Z"),
        ("instant", "2023-06-01T23:59:60Z"), ("instant", "2023-06-01T15:00:00+23:00"),
        ("instant", "2023-06-01T15:00:00Z\n"), ("instant", "2023-06-01T15:00:00 America/Chicago"),
        ("instant", "0001-01-01T00:00:00+14:00"), ("instant", "9999-12-31T23:59:59-12:00"),
        ("text", "a\0"), ("text", "x" * (MAX_CHARACTERS + 1)),
    ],
)  # fmt: skip
def test_a_value_of_another_form_is_not(form: str, value: str) -> None:
    assert not FORMS[form](value)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(st.lists(st.tuples(cells.filter(str.strip), cells), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_csv_writer_wrote_is_read_back(tmp_path: Path, made: list[tuple[str, str]]) -> None:
    content = io.StringIO(newline="")
    writer = csv.writer(content)
    writer.writerow(["NOTE", "Id", "AT"])
    writer.writerows([note, key, ""] for key, note in made)
    found = [row for _, row in rows(tmp_path, content.getvalue())]
    assert found == [[key, None, note if note.strip() else None] for key, note in made]


@pytest.fixture(scope="module")
def connection(server: Postgres) -> Iterator[Connection]:
    engine = create_engine(server.url("postgres"))
    with engine.connect() as connected:
        connected.execute(text("SET timezone = UTC"))
        yield connected
    engine.dispose()


moments = st.builds(
    lambda at, form, zone: at.strftime("%Y").zfill(4) + at.strftime(form) + zone,
    st.datetimes(),
    st.sampled_from(["-%m-%d", "-%m-%dT%H:%M:%S", "-%m-%dT%H:%M:%S.%f", "%m%dT%H:%M", "-%jT%H:%M"]),
    st.sampled_from(["", "Z", "+00:00", "-14:59", "+15:59", "+23:59", "+05:30:15", "z", " UTC"]),
)
noise = st.text("0123456789-:TZ+.W ", max_size=28)


@given(moments | noise)
@example("2023-W22-4")
@settings(max_examples=300)
def test_whatever_a_form_takes_means_the_same_to_postgresql(
    connection: Connection, value: str
) -> None:
    if FORMS["date"](value):
        read = connection.execute(text("SELECT CAST(:v AS text)::date"), {"v": value}).scalar_one()
        assert read == date.fromisoformat(value)
    if FORMS["instant"](value):
        statement = text("SELECT CAST(:v AS text)::timestamptz")
        read = connection.execute(statement, {"v": value}).scalar_one()
        assert read == datetime.fromisoformat(value).astimezone(UTC)


def test_a_big_file_costs_the_memory_of_a_row(tmp_path: Path) -> None:
    with (tmp_path / "things.csv").open("w", encoding="utf-8") as handle:
        handle.write(HEADER)
        handle.writelines(f"key-{number},,{'x' * 40}\n" for number in range(60_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(tmp_path, TABLE)) == 60_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
