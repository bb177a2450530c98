"""SQL files: found by name, with their includes; what is not there is told by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reengage.errors import ConfigurationError
from reengage.settings import HOME
from reengage.sql import load_sql

FILES = sorted(str(path.relative_to(HOME / "sql")) for path in (HOME / "sql").rglob("*.sql"))


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(name: str, content: str | bytes) -> None:
        path = tmp_path / "sql" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def test_an_include_is_replaced_by_its_file_includes_of_includes_too(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("a.sql", "SELECT 1\n  -- include: parts/b.sql  \nFROM x")
    write("parts/b.sql", ", '\\1' -- include: in a comment's middle\n-- include: parts/c.sql")
    write("parts/c.sql", ", 3")
    expected = "SELECT 1\n, '\\1' -- include: in a comment's middle\n, 3\nFROM x"
    assert load_sql(tmp_path, "a.sql") == expected


def test_a_file_may_be_included_twice(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("a.sql", "-- include: b.sql\nUNION\n-- include: b.sql")
    write("b.sql", "SELECT 1")
    assert load_sql(tmp_path, "a.sql") == "SELECT 1\nUNION\nSELECT 1"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nosuch.sql", "sql/nosuch.sql is missing or unreadable; restore it or mend the name"),
        ("folder", "sql/folder is missing or unreadable"),
        ("lost.sql", "sql/b.sql, which sql/lost.sql includes, is missing"),
        ("self.sql", "sql/self.sql, which sql/self.sql includes, includes itself"),
        ("round.sql", "sql/round.sql, which sql/trip.sql includes, includes itself"),
        ("../x.sql", "sql/../x.sql includes itself or leaves sql/"),
        ("out.sql", "sql/../../etc/passwd, which sql/out.sql includes, includes itself or leaves"),
        ("latin.sql", "sql/latin.sql is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_cannot_be_had_is_told_by_name(write, tmp_path: Path, name: str, told: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "sql" / "folder").mkdir(parents=True)
    write("lost.sql", "-- include: b.sql")
    write("self.sql", "-- include: self.sql")
    write("round.sql", "-- include: trip.sql")
    write("trip.sql", "-- include: round.sql")
    write("out.sql", "-- include: ../../etc/passwd")
    write("latin.sql", b"-- caf\xe9")
    with pytest.raises(ConfigurationError) as error:
        load_sql(tmp_path, name)
    assert told in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_project_loads_and_says_in_its_first_line_what_it_asks(name: str) -> None:
    assert load_sql(HOME, name).startswith("-- ")
    assert not re.search(r"-- include:", load_sql(HOME, name))
