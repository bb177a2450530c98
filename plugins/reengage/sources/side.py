"""What an export of visits lacks, from files of the practice's own: contacts, consents, opt-outs.

`reengage_<view>.csv` has the columns of that view of the contract (docs/warehouse-contract.md) and
lies beside the export. All of them or none: with one of them there the practice speaks for itself,
and an opt-out file that was forgotten must not become letters to those in it. A view that the
practice has nothing for is a file of its header alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reengage.contract import load_contract
from reengage.settings import HOME
from reengage.sources.csvfile import CsvColumn, CsvTable
from reengage.sources.loading import Table, csv_table

VIEWS = ("contact", "representative", "authorization", "restriction", "opt_out", "programme")
FORMS = {
    "text": "text",
    "date": "date",
    "timestamp with time zone": "instant",
    "boolean": "flag",
}
"""Type of a contract's column -> how a CSV file writes it."""
_LONG = {"smime_certificate": "long text"}


def is_there(directory: Path) -> bool:
    """Whether any such file is in the directory."""
    return any(directory.glob("reengage_*.csv"))


def side_files(directory: Path) -> list[Path]:
    """Where the files are, or would be."""
    return [directory / f"reengage_{view}.csv" for view in VIEWS]


def side_tables(directory: Path) -> Iterator[Table]:
    """The files as tables of the same names as the views. Reading raises SourceDataError."""
    contract = load_contract(HOME)
    for view in (view for view in contract.views if view.name in VIEWS):
        columns = tuple(
            CsvColumn(c.name, _LONG.get(c.name, FORMS[c.type]), not c.nullable)
            for c in view.columns
        )
        table = CsvTable(f"reengage_{view.name}.csv", columns)
        yield csv_table(view.name, directory, table)
