"""A small OMOP export to be spoiled: two adults and a child, their visits and drugs.

export = OmopExport.write(directory)
export.change("PERSON", 2, month_of_birth="13")   # a cell of the second row
export.add("DRUG_EXPOSURE", person_id="2")        # a row like the last one
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from reengage.contract import load_contract
from reengage.settings import HOME
from reengage.sources.side import VIEWS

Rows = list[dict[str, str]]


def person(number: int, born: str, **cells: str) -> dict[str, str]:
    year, month, day = born.split("-")
    return {
        "person_id": str(number),
        "year_of_birth": year,
        "month_of_birth": month,
        "day_of_birth": day,
        "birth_datetime": "",
        "ethnicity_concept_id": "38003564",
        "location_id": "",
        "person_source_value": f"unread-{number}",
        **cells,
    }


def visit(number: int, patient: int, day: str, **cells: str) -> dict[str, str]:
    return {
        "visit_occurrence_id": str(number),
        "person_id": str(patient),
        "visit_concept_id": "9202",
        "visit_start_date": day,
        "visit_start_datetime": "",
        "visit_end_date": day,
        "visit_end_datetime": "",
        "care_site_id": "",
        **cells,
    }


def drug(
    number: int, patient: int, concept: int, start: str, end: str, **cells: str
) -> dict[str, str]:
    return {
        "drug_exposure_id": str(number),
        "person_id": str(patient),
        "drug_concept_id": str(concept),
        "drug_exposure_start_date": start,
        "drug_exposure_start_datetime": "",
        "drug_exposure_end_date": end,
        "stop_reason": "",
        "refills": "0",
        "days_supply": "",
        **cells,
    }


def _rows() -> dict[str, Rows]:
    return {
        "PERSON": [
            person(1, "1970-03-04", location_id="5"),
            person(2, "1980-01-31", ethnicity_concept_id="38003563"),
            person(3, "2010-06-15"),
        ],
        "DEATH": [{"person_id": "2", "death_date": "2023-05-01"}],
        "LOCATION": [
            {
                "location_id": "5",
                "address_1": "1 Main",
                "city": "Omaha",
                "state": "ne",
                "zip": "68102",
            },
        ],
        "CARE_SITE": [{"care_site_id": "7", "care_site_name": "North Clinic", "location_id": "5"}],
        "VISIT_OCCURRENCE": [
            visit(
                11,
                1,
                "2022-01-10",
                visit_start_datetime="2022-01-10 09:30:00",
                visit_end_datetime="2022-01-10 10:00:00",
                care_site_id="7",
            ),
            visit(12, 2, "2022-07-01"),
            visit(13, 3, "2022-07-02", visit_concept_id="0"),
        ],
        "DRUG_EXPOSURE": [drug(21, 1, 100, "2022-01-10", "2022-02-08")],
        "CONCEPT": [
            {"concept_id": "9202", "concept_name": "Outpatient Visit"},
            {"concept_id": "100", "concept_name": "lisinopril 10 MG Oral Tablet"},
            {"concept_id": "101", "concept_name": "sertraline 50 MG Oral Tablet"},
            {"concept_id": "0", "concept_name": "No matching concept"},
            {"concept_id": "999", "concept_name": "nobody refers to it"},
        ],
    }


@dataclass
class OmopExport:
    """The export in `directory`; what is changed is written at once."""

    directory: Path
    rows: dict[str, Rows] = field(default_factory=_rows)

    @classmethod
    def write(cls, directory: Path) -> OmopExport:
        """A sound one."""
        directory.mkdir(parents=True, exist_ok=True)
        export = cls(directory)
        for name in export.rows:
            export._save(name)
        return export

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.csv"

    def change(self, name: str, row: int, **cells: str) -> None:
        """Change cells of the file's n-th row; it stands in line n + 1."""
        self.rows[name][row - 1].update(cells)
        self._save(name)

    def add(self, name: str, *rows: dict[str, str], **cells: str) -> None:
        """Add rows, or one like the last but for these cells."""
        self.rows[name] += [*rows] or [{**self.rows[name][-1], **cells}]
        self._save(name)

    def provide(self, **views: Rows) -> None:
        """Write the practice's own files: these rows, and no others."""
        columns = {
            view.name: [column.name for column in view.columns]
            for view in load_contract(HOME).views
            if view.name in VIEWS
        }
        columns["person"] = ["person_id", "given_name", "language"]
        for view, names in columns.items():
            name = f"reengage_{view}"
            self.rows[name] = [{**dict.fromkeys(names, ""), **row} for row in views.get(view, [])]
            self._save(name, names)

    def _save(self, name: str, columns: list[str] | None = None) -> None:
        rows = self.rows[name]
        with self.path(name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
