"""Paper: tables as a PDF to file or to hand over, with page numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from reengage.reports import render
from reengage.reports.cells import HIDDEN
from reengage.reports.tables import Column, Table
from reengage.typeface import add_plex

_GREY, _SHADE = (96, 96, 96), (242, 243, 245)
_WIDE = 6
"""Columns from which on the page lies on its side."""


def as_pdf(tables: Sequence[Table], title: str, said: Sequence[str] = ()) -> bytes:
    """All tables, one below the other, with their notes; `said` stands before them."""
    wide = any(len(one.columns) > _WIDE for one in tables)
    paper = _Paper(title, landscape=wide)
    paper.add_page()
    paper.set_font("plex", "B", 16)
    paper.multi_cell(0, 9, title, new_x="LMARGIN", new_y="NEXT")
    paper.set_font("plex", "", 9)
    paper.set_text_color(*_GREY)
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by the reports of reengage."
    paper.multi_cell(0, 6, made, new_x="LMARGIN", new_y="NEXT")
    paper.set_text_color(0, 0, 0)
    paper.set_font("plex", "", 11)
    for sentence in said:
        paper.multi_cell(0, 6, sentence, new_x="LMARGIN", new_y="NEXT")
    for one in tables:
        _table(paper, one)
    return bytes(paper.output())


class _Paper(FPDF):
    """Pages with a number at the foot."""

    def __init__(self, title: str, *, landscape: bool) -> None:
        super().__init__(format="letter", orientation="landscape" if landscape else "portrait")
        self.set_title(title)
        self.set_lang("en")
        add_plex(self)

    def footer(self) -> None:
        """The page's number."""
        self.set_y(-14)
        self.set_font("plex", "", 8)
        self.set_text_color(*_GREY)
        self.cell(0, 8, f"{self.page_no()} of {{nb}}", align="R")


def _table(paper: _Paper, found: Table) -> None:
    paper.set_text_color(0, 0, 0)
    paper.ln(4)
    paper.set_font("plex", "B", 11)
    paper.multi_cell(0, 7, found.caption, new_x="LMARGIN", new_y="NEXT")
    paper.set_font("plex", "", 9)
    if found.is_empty:
        paper.multi_cell(0, 6, "Nothing.", new_x="LMARGIN", new_y="NEXT")
        return
    heads = FontFace(emphasis="BOLD", fill_color=_SHADE)
    aligns = tuple("RIGHT" if column.is_number else "LEFT" for column in found.columns)
    with paper.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=heads,
        line_height=5.5,
        text_align=aligns,
        padding=1,
    ) as grid:
        head = grid.row()
        for column in found.columns:
            head.cell(column.label)
        for row in found.rows:
            line = grid.row()
            for value, column in zip(row, found.columns, strict=True):
                line.cell(_text(value, column))
    if found.note:
        paper.set_text_color(*_GREY)
        paper.multi_cell(0, 5, found.note, new_x="LMARGIN", new_y="NEXT")


def _text(value: Any, column: Column) -> str:
    return "*" if value is HIDDEN else render.cell(value, column.kind)
