"""Datasets: what each task of a campaign reads and writes, by column.

Derived from the campaign, the contract and the SQL that the task runs, so that nothing here gets
out of date when they change. Names are of views, tables and files, never of a patient (OLN-15).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.lineage import building
from reengage.lineage.base import Facet, facet
from reengage.lineage.building import Dataset
from reengage.lineage.place import Place
from reengage.lineage.tasks import flows_of
from reengage.settings import HOME

_SEVERITY = {"critical": "error", "warning": "warn", "info": "info"}


@dataclass(frozen=True)
class Datasets:
    """What a task reads and writes."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    suites: Mapping[str, str] = field(default_factory=dict)
    """Suite -> name of the input that it looks at."""


def datasets_of(task: str, campaign: Campaign, contract: Contract, home: Path = HOME) -> Datasets:
    """What the task of this id reads and writes. Raises ConfigurationError for an unknown task."""
    flow = flows_of(task)(Place(campaign, contract, home))
    return Datasets(tuple(flow.inputs), tuple(flow.outputs), flow.suites)


def with_assertions(datasets: Datasets, verdicts: Iterable[Mapping[str, Any]]) -> Datasets:
    """The same with a suite's verdicts at the input it looked at (OLN-07).

    Of a verdict go over its type, column, severity and success; never a value (OLN-08). A column
    that the input does not have is left out, not the verdict.
    """
    by_input: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for verdict in verdicts:
        by_input[datasets.suites[verdict["suite"]]].append(verdict)
    return replace(
        datasets,
        inputs=tuple(
            _with(one, "inputFacets", dataQualityAssertions=_assertions(one, by_input[one["name"]]))
            if one["name"] in by_input
            else one
            for one in datasets.inputs
        ),
    )


def with_rows(datasets: Datasets, rows: Mapping[str, int]) -> Datasets:
    """The same with how many rows were read or written, by name or by the last part of a name."""
    known = {one["name"] for one in (*datasets.inputs, *datasets.outputs)}
    if unknown := [name for name in rows if not any(_is_called(one, name) for one in known)]:
        raise KeyError(f"no dataset of the task is called {', '.join(unknown)}")
    return replace(
        datasets,
        inputs=tuple(
            _counted(one, rows, "inputFacets", "inputStatistics") for one in datasets.inputs
        ),
        outputs=tuple(
            _counted(one, rows, "outputFacets", "outputStatistics") for one in datasets.outputs
        ),
    )


def _is_called(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith((f"/{wanted}", f".{wanted}"))


def _counted(dataset: Dataset, rows: Mapping[str, int], place: str, key: str) -> Dataset:
    for name, count in rows.items():
        if _is_called(dataset["name"], name):
            return _with(dataset, place, **{key: facet(key, rowCount=count)})
    return dataset


def _assertions(dataset: Dataset, verdicts: Sequence[Mapping[str, Any]]) -> Facet:
    known = building.names(dataset)
    return facet(
        "dataQualityAssertions", assertions=[_assertion(verdict, known) for verdict in verdicts]
    )


def _assertion(verdict: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "assertion": verdict["type"],
        "name": f"{verdict['suite']}.{verdict['type']}",
        "success": bool(verdict["success"]),
        "severity": _SEVERITY[verdict["severity"]],
    }
    if verdict.get("column") in known:
        found["column"] = verdict["column"]
    return found


def _with(dataset: Dataset, place: str, **facets: Facet) -> Dataset:
    return {**dataset, place: {**dataset.get(place, {}), **facets}}
