"""CSV files of a source, read strictly: a fault names file, line, column and fix, never the value.

Streams; a file of any size costs the memory of one row.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from reengage.errors import SourceDataError


@dataclass(frozen=True)
class CsvColumn:
    """A column that is read: its header, its form, and whether it may be empty."""

    header: str
    form: str = "text"
    required: bool = True


@dataclass(frozen=True)
class CsvTable:
    """A file and the columns that are read from it; `key` must be unique where it is named."""

    file: str
    columns: tuple[CsvColumn, ...]
    key: str | None = None


def read_rows(directory: Path, table: CsvTable) -> Iterator[list[str | None]]:
    """The rows of the table's columns, checked, as text; empty becomes None.

    Raises SourceDataError naming file, line, column and the form that was expected.
    """
    path = directory / table.file
    if not path.is_file():
        raise SourceDataError(f"{table.file} is missing in {directory}; export it with the others")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = _decoded(csv.reader(handle, strict=True), path)
        header = next(rows, (1, []))[1]
        positions = _positions(table, header)
        checks = [(at, c, FORMS[c.form]) for at, c in zip(positions, table.columns, strict=True)]
        seen: set[str] = set()
        for line, row in rows:
            if len(row) != len(header):
                raise SourceDataError(
                    f"{table.file} line {line}: {len(row)} fields, the header has {len(header)};"
                    " quote fields that hold commas or line breaks"
                )
            yield [_checked(table.file, line, c, row[at], form) for at, c, form in checks]
            if table.key:
                key = row[header.index(table.key)]
                if key in seen:
                    raise SourceDataError(
                        f"{table.file} line {line}, column {table.key}: the key is there twice;"
                        " remove one of the rows"
                    )
                seen.add(key)


def _decoded(rows: Iterator[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    line = 0
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
                f"{path.name} line {line + 1}: not well-formed CSV; mend its quotes"
            ) from None
        line = rows.line_num  # type: ignore[attr-defined]
        yield line, row


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _positions(table: CsvTable, header: Sequence[str]) -> list[int]:
    missing = [column.header for column in table.columns if column.header not in header]
    if missing:
        raise SourceDataError(
            f"{table.file} line 1: column {', '.join(missing)} is missing;"
            " export the file with Synthea's own header"
        )
    return [header.index(column.header) for column in table.columns]


def _checked(
    file: str, line: int, column: CsvColumn, value: str, form: Callable[[str], bool]
) -> str | None:
    if not value:
        if column.required:
            raise SourceDataError(f"{file} line {line}, column {column.header}: empty; fill it")
        return None
    if not form(value):
        raise SourceDataError(
            f"{file} line {line}, column {column.header}: no {column.form},"
            f" expected the form {_EXAMPLES[column.form]}"
        )
    return value


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_text(value: str) -> bool:
    return "\x00" not in value


FORMS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "instant": _is_instant,
    "text": _is_text,
}
_EXAMPLES = {"date": "2023-06-01", "instant": "2023-06-01T15:00:00Z", "text": "text without NUL"}
