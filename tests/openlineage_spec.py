"""OpenLineage's public schemas as a judge of events, without a network.

spec = Spec(Path("spec"), Path("docs/schemas"))
spec.faults(event)                     # [] or one line per fault, with its place

Beyond the event's own schema, each facet is held against the schema that it names, under the key
and at the entity that the schema is for (OLN-01 to OLN-07).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FORMATS = FormatChecker(formats=["uuid"])
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!#$%&'()*+,./:;=?@\[\]\w~-]+", re.ASCII)
_OWN_KEY = re.compile(r"reengage_[a-z][A-Za-z0-9]*")
_ENTITY = {
    "run": "RunFacet", "job": "JobFacet", "facets": "DatasetFacet",
    "inputFacets": "InputDatasetFacet", "outputFacets": "OutputDatasetFacet",
}  # fmt: skip


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    """RFC 3339, with an offset."""
    return not isinstance(value, str) or (
        _INSTANT.fullmatch(value) is not None and datetime.fromisoformat(value) is not None
    )


@FORMATS.checks("uri")
def is_uri(value: object) -> bool:
    """With a scheme (RFC 3986)."""
    return not isinstance(value, str) or _URI.fullmatch(value) is not None


class Spec:
    """All schemas, found by their own ids."""

    def __init__(self, *directories: Path) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        for directory in directories:
            for path in sorted(directory.rglob("*.json")):
                document = json.loads(path.read_text(encoding="utf-8"))
                self.documents[document["$id"]] = document
        resources = [(key, Resource.from_contents(one)) for key, one in self.documents.items()]
        self._registry: Registry[Any] = Registry().with_resources(resources)

    def faults(self, event: dict[str, Any], kind: str = "RunEvent") -> list[str]:
        """What is wrong with an event, facet by facet."""
        found = list(self._against(f"{CORE}#/$defs/{kind}", event, "$"))
        found += self._against(CORE, event, "$")  # one of the three kinds, and one only
        for entity, place, key, facet in facets_of(event):
            found += self._facet(entity, place, key, facet)
        return found

    def _facet(self, entity: str, place: str, key: str, facet: dict[str, Any]) -> Iterator[str]:
        where = f"{place}.{key}"
        if not ({"_producer", "_schemaURL"} <= set(facet)):
            yield f"{where} names no producer or no schema"
            return
        document, _, _ = facet["_schemaURL"].partition("#")
        known = self.documents.get(document)
        if known is None:
            yield f"{where} names a schema that is not known: {document}"
            return
        yield from self._against(facet["_schemaURL"], facet, where)
        if document == CORE:
            return
        if key not in known["properties"]:
            yield f"{where} stands under a key that its schema is not for"
        elif f"{CORE}#/$defs/{_ENTITY[entity]}" != _kind_of(known, key):
            yield f"{where} stands at an entity that its schema is not for"
        if not document.startswith("https://openlineage.io/") and not _OWN_KEY.fullmatch(key):
            yield f"{where} is not named as a facet of one's own is"

    def _against(self, reference: str, value: Any, where: str) -> Iterator[str]:
        validator = Draft202012Validator(
            {"$ref": reference}, registry=self._registry, format_checker=FORMATS
        )
        for error in validator.iter_errors(value):
            yield f"{where}{error.json_path[1:]} {error.message[:200]}"


def _kind_of(document: dict[str, Any], key: str) -> str:
    """The facet of the core that the document's facet is one of."""
    name = document["properties"][key]["$ref"].rpartition("/")[2]
    kind: str = document["$defs"][name]["allOf"][0]["$ref"]
    return kind


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Entity, place, key and content of every facet."""
    for entity in ("run", "job"):
        for key, facet in event.get(entity, {}).get("facets", {}).items():
            yield entity, f"$.{entity}.facets", key, facet
    for side, more in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        for number, dataset in enumerate(event.get(side, [])):
            for entity in ("facets", more):
                for key, facet in dataset.get(entity, {}).items():
                    yield entity, f"$.{side}[{number}].{entity}", key, facet
