"""OMOP CDM 5.4: seven of its tables as CSV files, comma separated, names in capitals or not.

Only what the contract needs is read (PRV-18); of CONCEPT, which may hold millions, only what visits
and drugs refer to. What OMOP has no place for comes from files of the practice's own, or is drawn
(docs/sources.md, `side`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from reengage.sources import side
from reengage.sources.csvfile import CsvColumn, CsvTable
from reengage.sources.loading import Source, Table, csv_table


def _table(name: str, **columns: str) -> CsvTable:
    """A table of the CDM; a column whose form ends in `?` may be empty."""
    read = (CsvColumn(c, form.rstrip("?"), form[-1] != "?") for c, form in columns.items())
    return CsvTable(f"{name.upper()}.csv", tuple(read), any_case=True)


TABLES = {
    "person": _table(
        "person",
        person_id="number",
        year_of_birth="number",
        month_of_birth="number?",
        day_of_birth="number?",
        birth_datetime="local time?",
        ethnicity_concept_id="number?",
        location_id="number?",
    ),
    "death": _table("death", person_id="number", death_date="date"),
    "location": _table(
        "location",
        location_id="number",
        address_1="text?",
        city="text?",
        state="text?",
        zip="text?",
    ),
    "care_site": _table(
        "care_site", care_site_id="number", care_site_name="text?", location_id="number?"
    ),
    "visit_occurrence": _table(
        "visit_occurrence",
        visit_occurrence_id="number",
        person_id="number",
        visit_concept_id="number",
        visit_start_date="date",
        visit_start_datetime="local time?",
        visit_end_date="date?",
        visit_end_datetime="local time?",
        care_site_id="number?",
    ),
    "drug_exposure": _table(
        "drug_exposure",
        drug_exposure_id="number",
        person_id="number",
        drug_concept_id="number",
        drug_exposure_start_date="date",
        drug_exposure_start_datetime="local time?",
        drug_exposure_end_date="date?",
        stop_reason="text?",
        refills="number?",
        days_supply="number?",
    ),
    "concept": _table("concept", concept_id="number", concept_name="text"),
}
"""In the order in which they are read: what refers to concepts stands before them."""
PERSONS = CsvTable(
    "reengage_person.csv",
    (
        CsvColumn("person_id", "number"),
        CsvColumn("given_name"),
        CsvColumn("language", "text", False),
    ),
)
_REFERRING = {"visit_occurrence": "visit_concept_id", "drug_exposure": "drug_concept_id"}


def _tables(directory: Path) -> Iterator[Table]:
    wanted: set[int] = set()
    for name, table in TABLES.items():
        found = replace(table, file=_find(directory, table.file).name)
        loaded = csv_table(name, directory, found)
        if name in _REFERRING:
            at = loaded.columns.index(_REFERRING[name])
            yield replace(loaded, rows=_noting(loaded, at, wanted))
        elif name == "concept":
            yield replace(loaded, rows=(row for row in loaded.rows if int(row[1]) in wanted))
        else:
            yield loaded
    if side.is_there(directory):
        yield Table("provided", ("view",), [[view] for view in side.VIEWS], "reengage_*.csv")
        yield csv_table("named", directory, PERSONS)
        yield from side.side_tables(directory)


def _noting(table: Table, at: int, wanted: set[int]) -> Iterator[Any]:
    for row in table.rows:
        wanted.add(int(row[at]))
        yield row


def _find(directory: Path, name: str) -> Path:
    """The file of that name, in capitals or not; the name as it is where there is none."""
    same = (path for path in sorted(directory.glob("*")) if path.name.lower() == name.lower())
    return next(same, directory / name)


def _files(directory: Path) -> list[Path]:
    ours = [directory / PERSONS.file, *side.side_files(directory)]
    return [*(_find(directory, table.file) for table in TABLES.values()), *ours]


SOURCE = Source("omop", _tables, _files)
