"""A small Synthea export to be spoiled, and what a warehouse holds of it.

Three patients; their cells are unlike any other.

export = SmallExport.write(directory)
export.change("patients", 2, BIRTHDATE="never")   # a cell of the second row
export.replace("patients", "Id,", "Key,")         # the file's text
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from reengage import warehouse
from sqlalchemy import Connection, Engine, text

Contents = dict[str, list[str]]

ROWS: dict[str, list[dict[str, str]]] = {
    "patients": [
        {
            "Id": f"pat-{n}",
            "BIRTHDATE": f"19{n}0-01-1{n}",
            "DEATHDATE": "2022-10-13" if n == 3 else "",
            "SSN": f"999-77-000{n}",
            "PASSPORT": f"X7700{n}X",
            "FIRST": f"Firstname{n}",
            "LAST": f"Lastname{n}",
            "MARITAL": "",
            "RACE": f"race-{n}",
            "ETHNICITY": "hispanic" if n == 2 else "nonhispanic",
            "ADDRESS": f"{n}00 Street-{n}",
            "STATE": "Nebraska",
            "ZIP": f"6810{n}",
        }
        for n in (1, 2, 3)
    ],
    "organizations": [
        {"Id": f"org-{n}", "NAME": f"CLINIC {n}", "ADDRESS": f"{n} ROAD", "CITY": f"TOWN {n}"}
        for n in (1, 2)
    ],
    "encounters": [
        {
            "Id": f"enc-{n}",
            "START": f"2022-0{n}-15T10:00:00Z",
            "STOP": f"2022-0{n}-15T10:20:00Z",
            "PATIENT": f"pat-{n}",
            "ORGANIZATION": "org-1",
            "ENCOUNTERCLASS": "ambulatory",
            "REASONDESCRIPTION": f"diagnosis-{n}",
        }
        for n in (1, 2, 3)
    ],
    "medications": [
        {
            "START": f"2022-0{n}-15T10:05:00Z",
            "STOP": "",
            "PATIENT": f"pat-{n}",
            "ENCOUNTER": f"enc-{n}",
            "CODE": f"31407{n}",
            "DESCRIPTION": f"medicine{n} 10 MG Oral Tablet",
        }
        for n in (1, 2)
    ],
}


@dataclass
class SmallExport:
    """The export in `directory`; what is changed is written at once."""

    directory: Path
    rows: dict[str, list[dict[str, str]]] = field(
        default_factory=lambda: {name: [dict(row) for row in rows] for name, rows in ROWS.items()}
    )

    @classmethod
    def write(cls, directory: Path) -> SmallExport:
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

    def add(self, name: str, **cells: str) -> None:
        """Add a row, like the last one but for these cells."""
        self.rows[name].append({**self.rows[name][-1], **cells})
        self._save(name)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a part of the file's text."""
        content = self.path(name).read_bytes()
        assert old.encode() in content
        self.path(name).write_bytes(content.replace(old.encode(), new.encode(), 1))

    def cells(self) -> set[str]:
        """Every value in it that could give a patient away."""
        return {
            cell for name in self.rows for row in self.rows[name] for cell in row.values() if cell
        }

    def _save(self, name: str) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[name][0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows[name])
        self.path(name).write_bytes(text.getvalue().encode())


def contents(engine: Engine) -> Contents:
    """Every row of every table and view, in our schemas."""
    with engine.connect() as connection:
        names = connection.execute(
            text(
                "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
                " WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY 1"
            )
        ).scalars()
        return {
            name: sorted(
                connection.execute(text(f"SELECT CAST(t AS text) FROM {name} t")).scalars()
            )
            for name in names
        }


def count(connection: Connection, view: str = "patient") -> int:
    """Rows of a contract view."""
    return int(connection.execute(text(f"SELECT count(*) FROM contract.{view}")).scalar_one())


def reader(engine: Engine) -> Engine:
    """The same warehouse as the campaigns reach it."""
    url = engine.url.set(username=warehouse.READER)
    return warehouse.connect(url.render_as_string(hide_password=False))
