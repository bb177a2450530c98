"""Provider: our datasets as the objects that Airflow's OpenLineage provider sends.

The provider's events are best effort and go wherever its transport leads; the ledger's are the
record (OLN-14). Both say the same of a task, since both are made of the same dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reengage.campaigns import load_campaign
from reengage.contract import load_contract
from reengage.lineage.base import Facet
from reengage.lineage.datasets import Datasets, datasets_of

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.generated.base import BaseFacet


def client_datasets_of(
    task: str, slug: str, home: Path
) -> tuple[list[InputDataset], list[OutputDataset]]:
    """What the task of a campaign reads and writes. Raises ConfigurationError for broken files."""
    return client_datasets(datasets_of(task, load_campaign(home, slug), load_contract(home), home))


def client_datasets(datasets: Datasets) -> tuple[list[InputDataset], list[OutputDataset]]:
    """Inputs and outputs, for an `OperatorLineage`."""
    from openlineage.client import event_v2

    inputs = [
        event_v2.InputDataset(
            namespace=one["namespace"],
            name=one["name"],
            facets=_facets("DatasetFacet", one.get("facets", {})),
            inputFacets=_facets("InputDatasetFacet", one.get("inputFacets", {})),
        )
        for one in datasets.inputs
    ]
    outputs = [
        event_v2.OutputDataset(
            namespace=one["namespace"],
            name=one["name"],
            facets=_facets("DatasetFacet", one.get("facets", {})),
            outputFacets=_facets("OutputDatasetFacet", one.get("outputFacets", {})),
        )
        for one in datasets.outputs
    ]
    return inputs, outputs


def client_facets(facets: Mapping[str, Facet]) -> dict[str, Any]:
    """Run facets, for an `OperatorLineage`."""
    return _facets("RunFacet", facets)


def _facets(kind: str, facets: Mapping[str, Facet]) -> dict[str, Any]:
    return {key: _facet(kind, facet) for key, facet in facets.items()}


def _facet(kind: str, content: Facet) -> BaseFacet:
    """A facet of any name, with exactly this content, that stays so when it is copied."""
    made = _class_for(kind, tuple(content))(
        **{_alias(name): value for name, value in content.items() if name != "_schemaURL"}
    )
    made._schemaURL = content["_schemaURL"]
    return made


@lru_cache(maxsize=64)
def _class_for(kind: str, names: tuple[str, ...]) -> type[BaseFacet]:
    """A class of the client's with these members."""
    import attr
    from openlineage.client.generated import base

    own = [name for name in names if not name.startswith("_")]
    made = attr.make_class(
        kind,
        {name: attr.field(kw_only=True) for name in own},
        bases=(getattr(base, kind),),
        # Names of columns, counts and codes: a column called `authorization_key` is no secret.
        class_body={"_additional_skip_redact": own, "__reduce__": _reduced(kind, names)},
    )
    return cast("type[BaseFacet]", made)


def _reduced(kind: str, names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda facet: (_facet, (kind, {name: getattr(facet, name) for name in names}))


def _alias(name: str) -> str:
    return name.lstrip("_")
