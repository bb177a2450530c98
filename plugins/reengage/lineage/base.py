"""Base: who speaks, and how a facet is made: each names its producer and its schema (OLN-04)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSION = "0.1.0"
"""Version of the product, the same as in pyproject.toml."""

BASE = "https://reengage.example.org"
"""Under which our own schemas are known. A name, not a place: nothing is ever fetched from it."""

PRODUCER = f"{BASE}/releases/{VERSION}"
"""Who made an event or a facet: a release, never a branch."""

SPEC = "https://openlineage.io/spec"

STANDARD: Mapping[str, tuple[str, str]] = {
    # of a run
    "parent": ("ParentRunFacet", "1-2-0"),
    "nominalTime": ("NominalTimeRunFacet", "1-0-1"),
    "processing_engine": ("ProcessingEngineRunFacet", "1-1-1"),
    "errorMessage": ("ErrorMessageRunFacet", "1-0-1"),
    # of a job
    "jobType": ("JobTypeJobFacet", "2-0-4"),
    "job_documentation": ("DocumentationJobFacet", "1-1-0"),
    "job_ownership": ("OwnershipJobFacet", "1-0-1"),
    "job_tags": ("TagsJobFacet", "1-0-0"),
    # of a dataset
    "schema": ("SchemaDatasetFacet", "1-2-0"),
    "columnLineage": ("ColumnLineageDatasetFacet", "1-2-0"),
    "datasetType": ("DatasetTypeDatasetFacet", "1-0-1"),
    "lifecycleStateChange": ("LifecycleStateChangeDatasetFacet", "1-0-1"),
    "documentation": ("DocumentationDatasetFacet", "1-1-0"),
    "ownership": ("OwnershipDatasetFacet", "1-0-1"),
    "tags": ("TagsDatasetFacet", "1-0-0"),
    # of a dataset as it was read or written this time
    "dataQualityAssertions": ("DataQualityAssertionsDatasetFacet", "1-1-0"),
    "inputStatistics": ("InputStatisticsInputDatasetFacet", "1-0-0"),
    "outputStatistics": ("OutputStatisticsOutputDatasetFacet", "1-0-2"),
}
"""Facets of the specification that we write, with the version of each."""

Facet = dict[str, Any]


def facet(key: str, **content: Any) -> Facet:
    """A facet of the specification; `job_` before the key where a dataset has one of that name."""
    name, version = STANDARD[key]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SPEC}/facets/{version}/{name}.json#/$defs/{name}",
        **content,
    }


def own_schema(name: str, version: str) -> str:
    """Where the schema of a facet of ours is known: one address per version, for good (OLN-06)."""
    return f"{BASE}/schemas/{version}/{name}.json"


def own_facet(name: str, version: str, **content: Any) -> Facet:
    """A facet of our own, by the name of its class."""
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{own_schema(name, version)}#/$defs/{name}",
        **content,
    }
