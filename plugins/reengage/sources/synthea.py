"""Synthea: its CSV export, as it is.

Columns that the contract does not need (social security numbers among them) are not loaded at all
(PRV-18). What Synthea lacks is drawn; docs/sources.md has the shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reengage.sources.csvfile import CsvColumn, CsvTable
from reengage.sources.loading import Source, Table, csv_table

TABLES = {
    "patients": CsvTable(
        "patients.csv",
        (
            CsvColumn("Id"),
            CsvColumn("BIRTHDATE", "date"),
            CsvColumn("DEATHDATE", "date", required=False),
            CsvColumn("FIRST"),
            CsvColumn("LAST"),
            CsvColumn("ETHNICITY", required=False),
            CsvColumn("STATE", required=False),
            CsvColumn("ZIP", required=False),
        ),
    ),
    "organizations": CsvTable(
        "organizations.csv",
        (
            CsvColumn("Id"),
            CsvColumn("NAME"),
            CsvColumn("ADDRESS", required=False),
            CsvColumn("CITY", required=False),
        ),
    ),
    "encounters": CsvTable(
        "encounters.csv",
        (
            CsvColumn("Id"),
            CsvColumn("START", "instant"),
            CsvColumn("STOP", "instant", required=False),
            CsvColumn("PATIENT"),
            CsvColumn("ORGANIZATION"),
            CsvColumn("ENCOUNTERCLASS"),
        ),
    ),
    "medications": CsvTable(
        "medications.csv",
        (
            CsvColumn("START", "instant"),
            CsvColumn("STOP", "instant", required=False),
            CsvColumn("PATIENT"),
            CsvColumn("ENCOUNTER"),
            CsvColumn("CODE"),
            CsvColumn("DESCRIPTION"),
        ),
    ),
}


def _tables(directory: Path) -> Iterator[Table]:
    for name, table in TABLES.items():
        yield csv_table(name, directory, table)


def _files(directory: Path) -> list[Path]:
    return [directory / table.file for table in TABLES.values()]


SOURCE = Source("synthea", _tables, _files)
