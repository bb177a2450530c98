"""Building: a dataset as OpenLineage writes it, and how its columns come from others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reengage.contract import Contract
from reengage.errors import ConfigurationError
from reengage.lineage.base import Facet, facet
from reengage.lineage.tables import Field, Table
from reengage.practice import load_practice

WAREHOUSE = "reengage://warehouse"
STORE = "reengage://store"
PROJECT = "reengage://project"

Dataset = dict[str, Any]

_SCHEMA = "contract"
_PART2 = frozenset({"patient.sensitive_programme"})
_WHY: Mapping[str, str] = {
    "visit": "inactivity",
    "authorization": "consent",
    "representative": "who may sign and be written to",
    "opt_out": "opt-out",
    "restriction": "restriction",
    "revocation": "revocation",
    "suppression": "suppressed address",
    "programme": "sensitive programme",
}
"""What a view is asked for, where that is one thing."""


@dataclass(frozen=True)
class Source:
    """A column of a dataset that another column, or a whole dataset, rests on."""

    namespace: str
    name: str
    field: str

    @classmethod
    def contract(cls, column: str) -> Source:
        """A column of the contract, from `view.column`."""
        view, _, name = column.partition(".")
        return cls(WAREHOUSE, f"{_SCHEMA}.{view}", name)

    def direct(self, subtype: str = "IDENTITY", *, masking: bool) -> dict[str, Any]:
        """Its value goes over. `masking`: who reads the output cannot tell it."""
        return self._as(type="DIRECT", subtype=subtype, masking=masking)

    def indirect(self, subtype: str | None = None) -> dict[str, Any]:
        """It decides which rows there are."""
        subtype = subtype or ("JOIN" if self.field.endswith("_key") else "FILTER")
        why = _WHY.get(self.name.rpartition(".")[2])
        more = {"description": why} if why else {}
        return self._as(type="INDIRECT", subtype=subtype, masking=False, **more)

    def _as(self, **transformation: Any) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "field": self.field,
            "transformations": [transformation],
        }


def view(contract: Contract, name: str, read: Iterable[str], owners: list[str]) -> Dataset:
    """A view of the contract with the columns that are read of it."""
    [found] = [view for view in contract.views if view.name == name]
    wanted = set(read)
    shown = [column for column in found.columns if column.name in wanted]
    phi = str(any(column.name == "patient_key" for column in found.columns)).lower()
    tags: list[tuple[str, str, str | None]] = [("phi", phi, None)]
    for column in shown:
        tags.append(("phi", phi, column.name))
        if name == "programme" or f"{name}.{column.name}" in _PART2:
            tags.append(("part2", "possible", column.name))
    fields = [Field(c.name, c.type, c.description) for c in shown]
    positions = [found.columns.index(column) + 1 for column in shown]
    return _dataset(
        WAREHOUSE,
        f"{_SCHEMA}.{name}",
        {
            "schema": schema(fields, positions),
            "datasetType": facet("datasetType", datasetType="VIEW"),
            "documentation": _documentation(found.description),
            "tags": _tags(tags),
            **_ownership(owners),
        },
    )


def table(
    name: str,
    what: Table,
    *,
    kind: str = "TABLE",
    namespace: str = STORE,
    tags: Iterable[tuple[str, str]] = (),
    **facets: Facet,
) -> Dataset:
    """A dataset of the store, with each of its columns."""
    marked: list[tuple[str, str, str | None]] = [("phi", str(what.phi).lower(), None)]
    marked += [(key, value, None) for key, value in tags]
    return _dataset(
        namespace,
        name,
        {
            "schema": schema(what.fields),
            "datasetType": facet("datasetType", datasetType=kind),
            "documentation": _documentation(what.description),
            "tags": _tags(marked),
            **_ownership(["application:reengage"]),
            **facets,
        },
    )


def file(path: str, description: str) -> Dataset:
    """A file of the project, which holds nothing of a patient."""
    return _dataset(
        PROJECT,
        path,
        {
            "datasetType": facet("datasetType", datasetType="FILE"),
            "documentation": _documentation(description),
            "tags": _tags([("phi", "false", None)]),
            **_ownership(["team:data-engineering"]),
        },
    )


def schema(fields: Iterable[Field], positions: Iterable[int] | None = None) -> Facet:
    """Facet `schema`."""
    every = list(fields)
    numbers = positions or range(1, len(every) + 1)
    return facet(
        "schema",
        fields=[
            {**_field(one), "ordinal_position": number}
            for one, number in zip(every, numbers, strict=True)
        ],
    )


def lineage(
    fields: Mapping[str, list[dict[str, Any]]], dataset: Iterable[dict[str, Any]] = ()
) -> Facet:
    """Facet `columnLineage` (OLN-09): what went into each column, what decided on the rows."""
    return facet(
        "columnLineage",
        fields={name: {"inputFields": inputs} for name, inputs in fields.items() if inputs},
        dataset=list(dataset),
    )


def owners_of(home: Path) -> list[str]:
    """Who owns the warehouse's data, as an owner is named; nobody while practice.yaml is broken."""
    try:
        practice = load_practice(home / "practice.yaml")
    except ConfigurationError:
        return []
    return [f"organization:{practice.dkim.domain}"]


def names(dataset: Dataset) -> set[str]:
    """Names of the columns in its schema."""
    return {one["name"] for one in dataset["facets"].get("schema", {}).get("fields", [])}


def _field(one: Field) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": one.name,
        "type": one.type,
        "description": one.description,
    }
    if one.fields:
        found["fields"] = [_field(inner) for inner in one.fields]
    return found


def _dataset(namespace: str, name: str, facets: Mapping[str, Facet]) -> Dataset:
    return {"namespace": namespace, "name": name, "facets": dict(facets)}


def _documentation(text: str) -> Facet:
    return facet("documentation", description=text, contentType="text/plain")


def _ownership(owners: Iterable[str]) -> dict[str, Facet]:
    named = [{"name": owner, "type": "OWNER"} for owner in owners]
    return {"ownership": facet("ownership", owners=named)} if named else {}


def _tags(tags: Iterable[tuple[str, str, str | None]]) -> Facet:
    return facet(
        "tags",
        tags=[
            {"key": key, "value": value, "source": "reengage", **({"field": of} if of else {})}
            for key, value, of in tags
        ],
    )
