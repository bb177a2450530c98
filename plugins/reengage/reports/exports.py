"""Exports: a table as CSV, Parquet or PDF. What a page hides is hidden in them, too.

CSV is RFC 4180's with a header, and no cell is one that a spreadsheet would compute. Parquet keeps
the types; a hidden count is null there, and `<column>_hidden` says so. PDF is for paper.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from fastapi import Response

from reengage.errors import ConfigurationError
from reengage.ledger.accounting import inert
from reengage.reports.cells import HIDDEN
from reengage.reports.paper import as_pdf
from reengage.reports.tables import Column, Table

FORMATS = ("csv", "parquet", "pdf")
_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
}


def download(
    tables: Sequence[Table], form: str, name: str, title: str, said: Sequence[str] = ()
) -> Response:
    """The tables as a file; CSV and Parquet have the first one only; `said` is for people."""
    if form not in FORMATS:
        raise ConfigurationError(f"an export is one of {', '.join(FORMATS)}")
    content = {
        "csv": lambda: as_csv(tables[0]).encode(),
        "parquet": lambda: as_parquet(tables[0]),
        "pdf": lambda: as_pdf(tables, title, said),
    }[form]()
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(content, headers=headers, media_type=_TYPES[form])


def as_csv(found: Table) -> str:
    """One row a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.name for column in found.columns])
    for row in found.rows:
        writer.writerow([inert(_text(cell)) for cell in row])
    return out.getvalue()


def as_parquet(found: Table) -> bytes:
    """Columns with their types."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for at, column in enumerate(found.columns):
        cells = [row[at] for row in found.rows]
        columns[column.name] = pd.Series([_typed(cell, column) for cell in cells],
                                         dtype=_DTYPES.get(column.kind, "string"))  # fmt: skip
        if HIDDEN in cells:
            columns[f"{column.name}_hidden"] = pd.Series([cell is HIDDEN for cell in cells])
    out = io.BytesIO()
    pd.DataFrame(columns).to_parquet(out, index=False)
    return out.getvalue()


_DTYPES = {"count": "Int64", "share": "Float64", "seconds": "Float64"}


def _typed(cell: Any, column: Column) -> Any:
    if cell is None or cell is HIDDEN:
        return None
    return cell if column.kind in _DTYPES else _text(cell)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if cell is HIDDEN:
        return "*"
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat(timespec="seconds")
    return cell.isoformat() if isinstance(cell, date) else str(cell)
