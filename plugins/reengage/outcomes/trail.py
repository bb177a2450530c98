"""Trail: the run events of the outcomes' tasks, START first and one end, in the ledger (LOG-12).

The end is appended when all campaigns are done; what each of them wrote is committed before it, by
campaign: a try that dies in between has its START, and the audit closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from reengage.contract import load_contract
from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import run_event
from reengage.lineage import base, events, tables
from reengage.lineage.building import Dataset, owners_of, table, view
from reengage.lineage.events import EventType, TaskRun
from reengage.lineage.reads import columns_read
from reengage.sql import load_sql

WHAT = {
    "observe": "Asks the warehouse who came back of everybody written to or held out.",
    "publish": "Counts who came back, by arm, and writes the report's tables.",
}
"""What each task does."""


@dataclass
class Trail:
    """One try of a task."""

    task: TaskRun
    keyring: Keyring = field(repr=False)
    store: Engine = field(repr=False)
    home: Path
    ended: bool = field(default=False, init=False)

    def record(
        self, kind: EventType, *, rows: int | None = None, message: str | None = None
    ) -> None:
        """Append an event in a transaction of its own. Raises LedgerError where it cannot be."""
        inputs, outputs = datasets_of(self.task.task, self.home)
        facets = {"errorMessage": events.error_message(message)} if message else {}
        if rows is not None:
            counted = {"outputStatistics": base.facet("outputStatistics", rowCount=rows)}
            outputs = [{**outputs[0], "outputFacets": counted}, *outputs[1:]]
        event = events.run_event(
            kind, self.task, datetime.now(UTC), inputs=inputs, outputs=outputs,
            run_facets=facets, job_facets={"documentation": _documented(self.task.task)},
        )  # fmt: skip
        with self.store.begin() as connection:
            connection.execute(text("SELECT FROM ledger_head FOR UPDATE"))
            if kind == "START" and self._known(connection):
                raise LedgerError(
                    f"the ledger has this try of {self.task.job_name} already; clear the task, so"
                    " that it begins as a new try"
                )
            append(connection, self.keyring, [run_event(event)])
        self.ended = kind != "START"

    def _known(self, connection: Any) -> bool:
        found = connection.execute(
            text("SELECT 1 FROM ledger_entry WHERE kind = 'run_event' AND subject = :run LIMIT 1"),
            {"run": str(self.task.run_id)},
        )
        return bool(found.first())


def datasets_of(task: str, home: Path) -> tuple[list[Dataset], list[Dataset]]:
    """What a task reads and writes."""
    known = table("outcomes/known", tables.KNOWN)
    if task == "publish":
        return [known], [table("outcomes/report", tables.REPORT)]
    contract, owners = load_contract(home), owners_of(home)
    read = columns_read(load_sql(home, "outcomes/seen.sql"), contract) | {"load.data_until"}
    views = []
    for one in contract.views:
        columns = [c.name for c in one.columns if f"{one.name}.{c.name}" in read]
        if columns:
            views.append(view(contract, one.name, columns, owners))
    return [table("outcomes/followed", tables.FOLLOWED), *views], [known]


def _documented(task: str) -> dict[str, Any]:
    return base.facet("job_documentation", description=WHAT[task], contentType="text/plain")
