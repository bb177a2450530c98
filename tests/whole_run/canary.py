"""Patients whose every value is a string that occurs nowhere else, in Synthea's CSV layout."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

from reengage.sources.sample import write_sample

PATIENTS = 60


def write_export(directory: Path, as_of: date) -> list[str]:
    """Write the export; gives every string that must not leave the vault, in lower case."""
    write_sample(directory, patients=PATIENTS, seed=3, as_of=as_of)
    names = {row["Id"]: _letters(number) for number, row in enumerate(_read(directory, "patients"))}
    canaries: list[str] = []
    patients = _read(directory, "patients")
    for number, row in enumerate(patients):
        mark = names[row["Id"]]
        row["FIRST"], row["LAST"] = f"Qanary{mark}", f"Zurname{mark}"
        row["ADDRESS"], row["CITY"] = f"{number} Quanarylane {mark}", f"Quanaryville{mark}"
        row["BIRTHDATE"] = str(date(1951, 1, 2) + timedelta(days=number * 37))
        row["SSN"] = f"999-{number:02}-4711"
        canaries += [row["Id"], row["BIRTHDATE"], row["SSN"]]
    _write(directory, "patients", patients)
    for table, field in (("medications", "DESCRIPTION"), ("conditions", "DESCRIPTION")):
        rows = _read(directory, table)
        for row in rows:
            kind = "Qanarymed" if table == "medications" else "Qdiagnosis"
            row[field] = f"{kind}{names[row['PATIENT']]} 10 MG Oral Tablet"
        _write(directory, table, rows)
    assert all(str(UUID(one)) == one for one in names)
    return [*canaries, "qanary", "zurname", "quanarylane", "quanaryville", "qdiagnosis"]


def _letters(number: int) -> str:
    """A number as letters, as a name has no digits."""
    return "".join("abcdefghij"[int(digit)] for digit in f"{number:03}")


def _read(directory: Path, table: str) -> list[dict[str, str]]:
    with (directory / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(directory: Path, table: str, rows: list[dict[str, str]]) -> None:
    with (directory / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
