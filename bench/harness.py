"""What every benchmark shares: the machine's description, the table, the results as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its baseline of the same run. `target` bounds the value."""

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    target: float | None
    holds: bool | None


def at_most(
    name: str, value: float, unit: str, *, baseline: float | None, target: float | None
) -> Figure:
    """A figure that should not exceed its target; without one it only informs."""
    return _figure(name, value, unit, baseline, target, target is None or value <= target)


def at_least(
    name: str, value: float, unit: str, *, baseline: float | None = None, target: float | None
) -> Figure:
    """A figure that should reach its target; without one it only informs."""
    return _figure(name, value, unit, baseline, target, target is None or value >= target)


def beside(name: str, value: float, baseline: float | None, target: float | None = None) -> Figure:
    """Letters a second beside what another way does; the target bounds the value."""
    return at_least(name, value, "letters/s", baseline=baseline, target=target)


def _figure(
    name: str, value: float, unit: str, baseline: float | None, target: float | None, holds: bool
) -> Figure:
    return Figure(
        name,
        round(value, 3),
        unit,
        None if baseline is None else round(baseline, 3),
        None if baseline is None else round(value / baseline, 2),
        None if target is None else round(target, 3),
        None if target is None else holds,
    )


def publish(what: str, note: str, figures: list[Figure]) -> int:
    """Print the table with `note` below and write results/<what>.json; gives the exit status."""
    RESULTS.mkdir(exist_ok=True)
    content = json.dumps([asdict(figure) for figure in figures], indent=2) + "\n"
    (RESULTS / f"{what}.json").write_text(content, encoding="utf-8")
    table = Table(
        title=f"{what} on {machine()}", title_justify="left", caption=note, caption_justify="left"
    )
    for heading in ("name", "value", "unit", "baseline", "ratio", "target", "holds"):
        table.add_column(heading, justify="left" if heading in ("name", "unit") else "right")
    for figure in figures:
        table.add_row(*("" if cell is None else str(cell) for cell in asdict(figure).values()))
    Console().print(table)
    return int(any(figure.holds is False for figure in figures))


def machine() -> str:
    """Cores, memory, processor, Python."""
    gib = psutil.virtual_memory().total / 2**30
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores, {gib:.0f} GiB, {model}, Python {platform.python_version()}"
