"""Render: a page from its template, with the frame that all of them share. No value is trusted.

Jinja with autoescape; the frame's menu shows what the visitor may open. Links are below the path
that the app is mounted at, which a proxy may have put below another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from reengage.reports import grids
from reengage.reports.auth import Visitor
from reengage.reports.cells import Hidden
from reengage.reports.rules import RULES
from reengage.reports.tables import Table

PREFIX = "/reengage"
"""Where Airflow mounts the app."""
_MENU = (("overview", "", "Overview"), ("compliance", "compliance", "Compliance"))
_COMPLIANCE = (
    ("compliance", "compliance", "Ledger"),
    ("ledger", "compliance/ledger", "Entries"),
    ("disclosures", "compliance/disclosures", "Accounting"),
    ("unknown", "compliance/unknown", "Unknown letters"),
    ("agreements", "compliance/agreements", "Agreements"),
    ("approvals", "compliance/approvals", "Approvals"),
    ("alerts", "compliance/alerts", "Alerts"),
    ("preview", "compliance/preview", "Preview"),
    ("access", "compliance/access", "Access log"),
    ("keys", "compliance/keys", "Keys"),
)
"""Route, path and label of the pages of Compliance."""
_OF_COMPLIANCE = {name for name, _, _ in _COMPLIANCE}


def page(
    request: Request,
    visitor: Visitor | None,
    template: str,
    title: str,
    *,
    code: int = 200,
    here: str = "",
    **context: Any,
) -> HTMLResponse:
    """A whole page. `here` is the route of its menu item."""
    html = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            base=base_of(request),
            visitor=visitor,
            menu=_shown(_MENU, visitor),
            submenu=_shown(_COMPLIANCE, visitor) if here in _OF_COMPLIANCE else [],
            here=here,
            **context,
        )
    )
    return HTMLResponse(html, code)


def base_of(request: Request) -> str:
    """The path that the app is mounted at, with a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/") + "/"


def airflow_of(base: str) -> str:
    """Airflow's own path, with a slash at its end: the app is mounted just below it."""
    return base.removesuffix(f"{PREFIX[1:]}/")


def _shown(
    items: Sequence[tuple[str, str, str]], visitor: Visitor | None
) -> list[tuple[str, str, str]]:
    if visitor is None:
        return []
    return [item for item in items if RULES[item[0]].needs in visitor.capabilities]


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count, share=share, day=day, instant=instant, seconds=seconds, rows=rows,
        airflow=airflow_of,
    )  # fmt: skip
    return environment


def count(value: int | Hidden | None) -> str:
    """A number of patients, letters or entries; a star where it may not be shown."""
    if value is None:
        return "–"
    return "*" if isinstance(value, Hidden) else f"{value:,}"


def share(value: float | Hidden | None) -> str:
    """A share as percentage."""
    if value is None:
        return "–"
    return "*" if isinstance(value, Hidden) else f"{value:.1%}"


def day(value: date | str | None) -> str:
    """A calendar day."""
    return "–" if value is None else str(value)[:10]


def instant(value: datetime | str | None) -> str:
    """An instant to the minute, in UTC, which it says."""
    if not value:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    offset = at.utcoffset() or timedelta()
    return f"{(at - offset).replace(tzinfo=None):%Y-%m-%d %H:%M} UTC"


def seconds(value: float | None) -> str:
    """A duration, in the unit that it is read in."""
    if value is None:
        return "–"
    if value < 90:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def cell(value: Any, kind: str) -> str:
    """A cell's text, by the kind of its column."""
    show = _SHOWN.get(kind)
    return show(value) if show else ("–" if value in (None, "") else str(value))


def rows(found: Table, base: str) -> Markup:
    """A table's head and rows."""
    return grids.markup(found, base, airflow_of(base), _SHOWN)


_SHOWN: Mapping[str, Callable[[Any], str]] = {
    "count": count, "share": share, "day": day, "instant": instant, "seconds": seconds,
}  # fmt: skip
