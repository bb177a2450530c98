"""Grids: the markup of a table's rows. In Python, as a template takes ten times as long over it.

Every text is escaped here, by the same function as in the templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup, escape

from reengage.reports.cells import HIDDEN
from reengage.reports.tables import Badge, Column, Link, Strip, Table

_STAR = '<abbr title="1 to 10, or hidden to protect such a count">*</abbr>'
_UNBROKEN = 40
"""Characters of a code that a wide page shows on one line; a digest has 64."""
Show = Callable[[Any], str]


def markup(found: Table, base: str, outside: str, shown: Mapping[str, Show]) -> Markup:
    """Head and rows. `base` and `outside` are the paths that links begin with, `shown` says how a
    value of a kind is written.
    """
    columns = [_Column(one, first=at == 0) for at, one in enumerate(found.columns)]
    paths = str(escape(base)), str(escape(outside))
    heads = "".join(one.head for one in columns)
    rows = "".join(
        "<tr>"
        + "".join([one.cell(value, paths, shown) for one, value in zip(columns, row, strict=True)])
        + "</tr>\n"
        for row in found.rows
    )
    return Markup(f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>")  # noqa: S704 - all of it was escaped


class _Column:
    """What is the same in all cells of a column."""

    def __init__(self, column: Column, *, first: bool) -> None:
        tag, scope = ("th", ' scope="row"') if first else ("td", "")
        label = escape(column.label)
        number, void = (' class="number"', "number void") if column.is_number else ("", "void")
        self.head = f'<th scope="col"{number}>{label}</th>'
        self._kind = column.kind
        self._begin = f'<{tag}{scope} data-label="{label}"{number}>'
        self._none = f'<{tag}{scope} data-label="{label}" class="{void}">–</{tag}>'
        self._end = f"</{tag}>"

    def cell(self, value: Any, paths: tuple[str, str], shown: Mapping[str, Show]) -> str:
        """One cell. On a narrow screen a row's empty ones are left out."""
        if value is None:
            return self._none
        return f"{self._begin}{self._inner(value, paths, shown)}{self._end}"

    def _inner(self, value: Any, paths: tuple[str, str], shown: Mapping[str, Show]) -> str:
        if value is HIDDEN:
            return _STAR
        if isinstance(value, Badge):
            return f'<span class="badge {value.tone}">{escape(value.text)}</span>'
        if isinstance(value, Link):
            return _link(value, paths)
        if isinstance(value, Strip):
            marks = "".join("<i></i>" if held else '<i class="no"></i>' for held in value.held)
            return f'<span class="strip" aria-hidden="true">{marks}</span>'
        if self._kind == "code" and value:
            kind = ' class="short"' if len(str(value)) <= _UNBROKEN else ""
            return f"<code{kind}>{escape(value)}</code>"
        show = shown.get(self._kind)
        return str(escape(show(value) if show else value)) or "–"


def _link(value: Link, paths: tuple[str, str]) -> str:
    base = paths[1] if value.outside else paths[0]
    mark = " data-outside" if value.outside else ""
    return f'<a href="{base}{escape(value.path)}"{mark}>{escape(value.text)}</a>'
