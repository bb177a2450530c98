"""CSV files of a source, read strictly: a fault names file, line, column and fix, never the value.

Streams; a file of any size costs the memory of one row. What only several rows can get wrong (a
key that is there twice, a reference to nothing) is for the database that the rows are loaded into.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from reengage.errors import SourceDataError

FIRST_YEAR, LAST_YEAR = 1850, 2199
"""No patient was born before, no prescription ends after: what lies outside is a placeholder, and
one that is taken for a birth date makes an adult of a child."""
MAX_CHARACTERS = 500
"""Of a text; PostgreSQL cannot index one of more than some 2,700 bytes."""

Row = list[str | None]


@dataclass(frozen=True)
class CsvColumn:
    """A column that is read: its header, its form, and whether it may be empty."""

    header: str
    form: str = "text"
    required: bool = True


@dataclass(frozen=True)
class CsvTable:
    """A file and the columns that are read from it, in any order and among any others."""

    file: str
    columns: tuple[CsvColumn, ...]
    any_case: bool = False
    """Whether headers may be written in capitals or not."""


def read_rows(directory: Path, table: CsvTable) -> Iterator[tuple[int, Row]]:
    """The table's columns, checked, as text, with the line that a row begins on; empty is None.

    Raises SourceDataError naming file, line, column and the form that was expected.
    """
    path = directory / table.file
    if not path.is_file():
        raise SourceDataError(f"{table.file} is missing in {directory}; export it with the others")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = _decoded(csv.reader(handle, strict=True), path)
        header = next(rows, (1, []))[1]
        if table.any_case:
            header = [name.lower() for name in header]
        positions = _positions(table, header)
        checks = [(at, c, FORMS[c.form]) for at, c in zip(positions, table.columns, strict=True)]
        for line, row in rows:
            if len(row) != len(header):
                raise SourceDataError(
                    f"{table.file} line {line}: {len(row)} fields, the header has {len(header)};"
                    " quote fields that hold commas or line breaks"
                )
            yield line, [_checked(table.file, line, c, row[at], form) for at, c, form in checks]


def _decoded(rows: Iterator[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they begin on; empty lines are passed over."""
    line = 1
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except UnicodeDecodeError:
            raise SourceDataError(
                f"{path.name} line {_undecodable_line(path)}: not UTF-8; export the file as UTF-8"
            ) from None
        except csv.Error:
            raise SourceDataError(
                f"{path.name} line {line}: not well-formed CSV; mend its quotes"
            ) from None
        if row:
            yield line, row
        line = rows.line_num + 1  # type: ignore[attr-defined]


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _positions(table: CsvTable, header: Sequence[str]) -> list[int]:
    wanted = [column.header for column in table.columns]
    for fault, found in (
        ("is missing", [name for name in wanted if name not in header]),
        ("is there twice", [name for name in wanted if header.count(name) > 1]),
    ):
        if found:
            raise SourceDataError(
                f"{table.file} line 1: column {', '.join(found)} {fault};"
                " export the file with its whole header"
            )
    return [header.index(name) for name in wanted]


def _checked(
    file: str, line: int, column: CsvColumn, value: str, form: Callable[[str], bool]
) -> str | None:
    if not value or value.isspace():
        if column.required:
            raise SourceDataError(f"{file} line {line}, column {column.header}: empty; fill it")
        return None
    if not form(value):
        unknown = "" if column.required else "; leave it empty where there is none"
        raise SourceDataError(
            f"{file} line {line}, column {column.header}: no {column.form},"
            f" expected {_EXPECTED[column.form]}{unknown}"
        )
    return value


_LOCAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")

# Narrower than Python's parser, which takes what PostgreSQL does not: week dates, any separator.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
)


def _is_date(value: str) -> bool:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return False
    return FIRST_YEAR <= day.year <= LAST_YEAR and day.isoformat() == value


def _is_instant(value: str) -> bool:
    if not _INSTANT.fullmatch(value):
        return False
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return False
    return FIRST_YEAR <= instant.year <= LAST_YEAR


def _is_local(value: str) -> bool:
    if not _LOCAL.fullmatch(value):
        return False
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return False
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


def _is_flag(value: str) -> bool:
    return value in ("true", "false")


def _is_text(value: str) -> bool:
    return len(value) <= MAX_CHARACTERS and "\x00" not in value


def _is_long_text(value: str) -> bool:
    return "\x00" not in value


FORMS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "instant": _is_instant,
    "local time": _is_local,
    "number": _is_number,
    "flag": _is_flag,
    "text": _is_text,
    "long text": _is_long_text,
}
_YEARS = f"in the years {FIRST_YEAR} to {LAST_YEAR}"
_EXPECTED = {
    "date": f"the form 2023-06-01, {_YEARS}",
    "instant": f"the form 2023-06-01T15:00:00Z, {_YEARS}",
    "local time": f"the form 2023-06-01 15:00:00 without an offset, {_YEARS}",
    "number": "digits, at most 18 of them",
    "flag": "true or false",
    "text": f"at most {MAX_CHARACTERS} characters and no NUL",
    "long text": "no NUL",
}
