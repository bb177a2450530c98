"""Scrubber: what may leave with an event of Airflow's provider, as a list of what may (OLN-12).

Stands in front of every transport (`transform`). By itself the provider sends what people type: the
configuration and the note of a DAG run, a name for a mapped task, the text and the stack of
any exception. What is not named here is dropped, so that the next version's facets are, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openlineage.client.event_v2 import Dataset, RunEvent
from openlineage.client.transport.transform import EventTransformer

from reengage.lineage.base import PRODUCER
from reengage.lineage.building import PROJECT, STORE, WAREHOUSE
from reengage.lineage.events import LONGEST_MESSAGE

_OURS = "reengage_"
_NAMESPACES = (WAREHOUSE, STORE, PROJECT)
_RUN_FACETS: Mapping[str, Mapping[str, frozenset[str]] | None] = {
    "parent": None,
    "nominalTime": None,
    "processing_engine": None,
    "tags": None,
    "airflowState": None,
    "airflow_mappedTask": None,
    "airflow": {
        "dag": frozenset({"dag_id", "owner", "tags", "timetable_summary"}),
        "dagRun": frozenset({"dag_id", "run_type", "clear_number", "run_after", "logical_date"}),
        "task": frozenset({"task_id", "operator_class", "mapped", "trigger_rule", "retries"}),
        "taskInstance": frozenset({"try_number", "map_index", "duration"}),
    },
    "airflowDagRun": {
        "dag": frozenset({"dag_id", "owner", "tags", "timetable_summary"}),
        "dagRun": frozenset(
            {"dag_id", "run_type", "clear_number", "run_after", "logical_date", "duration"}
        ),
    },
}
"""Run facets, and of each part of Airflow's own what is left of it; None = it passes whole."""
_JOB_FACETS = frozenset({"documentation", "jobType", "ownership", "tags"})
_OUR_WORDS = re.compile(
    r"([A-Z]\w*Error: |unforeseen \w+ at |\w+ was stopped by its time limit after )"
)
"""How the corridor begins each of its errors; other words are those of a library."""
_AIRFLOWS_WORDS = frozenset({"task_failure", "all_tasks_deadlocked", "timed_out"})
"""What Airflow says of a DAG run that failed."""
WITHHELD = "withheld: not an error that this product words"


class Scrubber(EventTransformer):
    """Leaves of an event what this module names."""

    def transform(self, event: Any) -> Any:
        """The event without anything else; None, and nothing is sent, for what is no run event."""
        if not isinstance(event, RunEvent):
            return None
        facets = event.run.facets or {}
        event.run.facets = {
            key: facet
            for key, facet in facets.items()
            if key.startswith(_OURS) or _kept(key, facet)
        }
        jobs = event.job.facets or {}
        event.job.facets = {key: facet for key, facet in jobs.items() if key in _JOB_FACETS}
        event.inputs = [one for one in event.inputs or [] if _is_ours(one)]
        event.outputs = [one for one in event.outputs or [] if _is_ours(one)]
        return event


def _kept(key: str, facet: Any) -> bool:
    """Whether the run facet passes; takes out of it what may not."""
    if key == "errorMessage":
        facet.message = _message(facet.message)
        facet.stackTrace = None
        return True
    if key not in _RUN_FACETS:
        return False
    for part, names in (_RUN_FACETS[key] or {}).items():
        found = getattr(facet, part) or {}
        setattr(facet, part, {name: found[name] for name in names if name in found})
    return True


def _message(text: str) -> str:
    line = " ".join(str(text).split())
    known = line in _AIRFLOWS_WORDS or _OUR_WORDS.match(line)
    return line[:LONGEST_MESSAGE] if known else WITHHELD


def _is_ours(dataset: Dataset) -> bool:
    """Whether every facet of it is one that we made."""
    places = (getattr(dataset, name, None) for name in ("facets", "inputFacets", "outputFacets"))
    facets = [facet for place in places for facet in (place or {}).values()]
    return dataset.namespace in _NAMESPACES and all(facet._producer == PRODUCER for facet in facets)
