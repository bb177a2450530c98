"""Charts: Vega-Lite by altair, drawn as SVG on the server, inline in the page. Each has its table.

Colours are names of the page's own (`var(--...)`), so that one drawing is right in light and
dark. It is hidden from screen readers, which get the table beside it. Hidden counts draw nothing.
Drawn once per content: the first drawing of a process loads the engine, which takes a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from reengage.reports.cells import HIDDEN, Count

_COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--ink-soft)",
    "#030303": "var(--line)",
    "#040404": "var(--series-1)",
    "#050505": "var(--series-2)",
    "#060606": "var(--series-3)",
    "#070707": "var(--series-4)",
}
"""What the engine is given, which knows no variables, and what the page gets in its place."""
_INK, _SOFT, _LINE, *SERIES = _COLOURS
_FONT = "IBM Plex Sans, system-ui, sans-serif"
_ROW = 26
"""Height of a bar with its gap, in pixels."""


@dataclass(frozen=True)
class Bar:
    """One bar. `tone` is its series, from 0."""

    label: str
    value: Count | float
    text: str
    tone: int = 0


def bars(found: Sequence[Bar], *, width: int = 420, axis: str = "") -> Markup:
    """Horizontal bars, each with its label to the left and its value at its end."""
    values = [
        {
            "label": bar.label, "text": bar.text, "order": at, "tone": SERIES[bar.tone],
            "value": 0 if bar.value is HIDDEN else bar.value,
        }
        for at, bar in enumerate(found)
    ]  # fmt: skip
    return _drawn("bars", json.dumps({"values": values, "width": width, "axis": axis}))


@dataclass(frozen=True)
class Span:
    """A share with its interval."""

    label: str
    low: float
    value: float
    high: float
    text: str


def spans(found: Sequence[Span]) -> Markup:
    """Shares as dots on their intervals, one below the other."""
    values = [
        {"label": one.label, "low": one.low, "value": one.value, "high": one.high,
         "text": one.text, "order": at, "tone": SERIES[(2, 0)[min(at, 1)]]}
        for at, one in enumerate(found)
    ]  # fmt: skip
    return _drawn("spans", json.dumps({"values": values}))


def steps(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """Shares over days since the beginning, with their intervals; a point has what `Span` has."""
    return _drawn("steps", json.dumps({"values": list(points), "names": list(names)}))


def lines(points: Sequence[Mapping[str, Any]], names: Sequence[str], *, axis: str) -> Markup:
    """One line per name over days; a point has `day`, and a count, or None, for each name."""
    rows = [
        {"day": _day(point["day"]), "name": name, "value": point[name]}
        for name in names
        for point in points
        if isinstance(point.get(name), int | float)
    ]
    return _drawn("lines", json.dumps({"values": rows, "names": list(names), "axis": axis}))


def _day(value: date | str) -> str:
    return str(value)[:10]


@lru_cache(maxsize=512)
def _drawn(kind: str, content: str) -> Markup:
    import vl_convert

    said = json.loads(content)
    spec = _KINDS[kind](said)
    svg = str(vl_convert.vegalite_to_svg(spec))
    for given, meant in _COLOURS.items():
        svg = svg.replace(given, meant)
    # What the page's policy refuses, and a size that the page decides.
    svg = re.sub(r'\sstyle="[^"]*"', "", svg)
    head, _, rest = svg.partition(">")
    head = re.sub(r'\s(width|height|class)="[^"]*"', "", head)
    return Markup(f'{head} class="chart" aria-hidden="true" focusable="false">{rest}')  # noqa: S704


def _bars(said: Mapping[str, Any]) -> dict[str, Any]:
    import altair as alt

    label = alt.Y("label:N", sort=alt.SortField("order"), title=None).axis(
        domain=False, ticks=False, labelLimit=220, labelPadding=8
    )
    value = alt.X("value:Q", title=said["axis"] or None).axis(None)
    base = alt.Chart({"values": said["values"]}).encode(y=label, x=value)
    drawn = base.mark_bar(height=16, cornerRadiusEnd=3).encode(
        color=alt.Color("tone:N", scale=None)
    ) + base.mark_text(align="left", dx=6, fontSize=12).encode(text="text:N")
    height = _ROW * max(len(said["values"]), 1)
    return _themed(drawn.properties(width=said["width"], height=height))


def _lines(said: Mapping[str, Any]) -> dict[str, Any]:
    import altair as alt

    names = said["names"]
    colour = alt.Color(
        "name:N", scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])), title=None
    ).legend(orient="top", direction="horizontal", symbolType="circle")
    base = alt.Chart({"values": said["values"]}).encode(
        x=alt.X("day:T", title=None).axis(format="%b %d", tickCount=6, grid=False),
        y=alt.Y("value:Q", title=said["axis"]).axis(tickCount=4, domain=False, tickMinStep=1),
        color=colour,
    )
    drawn = base.mark_line(strokeWidth=2) + base.mark_circle(size=30, opacity=1)
    return _themed(drawn.properties(width=640, height=180))


def _spans(said: Mapping[str, Any]) -> dict[str, Any]:
    import altair as alt

    label = alt.Y("label:N", sort=alt.SortField("order"), title=None).axis(
        domain=False, ticks=False, labelPadding=8
    )
    share = alt.Axis(format=".0%", tickCount=4, domain=False)
    scale = alt.Scale(zero=True, nice=True)
    colour = alt.Color("tone:N", scale=None)
    base = alt.Chart({"values": said["values"]}).encode(y=label, color=colour)
    drawn = (
        base.mark_rule(strokeWidth=4, opacity=0.45).encode(
            x=alt.X("low:Q", title="came back", scale=scale, axis=share), x2="high:Q"
        )
        + base.mark_circle(size=130, opacity=1).encode(x="value:Q")
        + base.mark_text(dy=-13, fontSize=12, fontWeight="bold").encode(
            x="value:Q", text="text:N", color=alt.value(_INK)
        )
    )
    return _themed(drawn.properties(width=250, height=46 * len(said["values"])))


def _steps(said: Mapping[str, Any]) -> dict[str, Any]:
    import altair as alt

    names = said["names"]
    colour = alt.Color(
        "name:N", scale=alt.Scale(domain=names, range=[SERIES[2], SERIES[0]][: len(names)]),
        title=None,
    ).legend(orient="top", direction="horizontal", symbolType="circle")  # fmt: skip
    base = alt.Chart({"values": said["values"]}).encode(
        x=alt.X("day:Q", title="days").axis(tickCount=6, grid=False), color=colour
    )
    share = alt.Axis(format=".0%", tickCount=4, domain=False)
    drawn = base.mark_area(opacity=0.18, interpolate="step-after").encode(
        y=alt.Y("low:Q", title="came back", axis=share), y2="high:Q"
    ) + base.mark_line(strokeWidth=2, interpolate="step-after").encode(y="value:Q")
    return _themed(drawn.properties(width=640, height=200))


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "bars": _bars, "lines": _lines, "spans": _spans, "steps": _steps,
}  # fmt: skip


def _themed(chart: Any) -> dict[str, Any]:
    padding = {"left": 20, "right": 64, "top": 4, "bottom": 4}
    chart = chart.configure(background="transparent", font=_FONT, padding=padding)
    chart = chart.configure_view(stroke=None).configure_text(fill=_INK)
    chart = chart.configure_legend(labelColor=_INK, labelFontSize=12)
    spec: dict[str, Any] = chart.configure_axis(
        labelColor=_SOFT, titleColor=_SOFT, gridColor=_LINE, tickColor=_LINE, domainColor=_LINE,
        labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
    ).to_dict()  # fmt: skip
    return spec
