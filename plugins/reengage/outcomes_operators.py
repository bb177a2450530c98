"""Outcomes operators: the corridor between Airflow and who came back.

The same corridor as the campaigns' (`operators`): counts return to Airflow, an error of ours passes
with its text, of any other only type and place, and every try begins and ends in the ledger.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from reengage.errors import ConfigurationError, LedgerError
from reengage.operators import RoomOperator
from reengage.settings import Settings

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from reengage.campaigns import Campaign
    from reengage.outcomes.trail import Trail


class OutcomesOperator(RoomOperator):
    """A task over all campaigns: subclasses say what is done for one of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(campaign="outcomes", **kwargs)

    def of(self, settings: Settings, campaign: Campaign, day: date) -> dict[str, int] | None:
        """Do the task's work for a campaign and day; counts only. None = nothing was to do."""
        raise NotImplementedError

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """What the task reads and writes, for Airflow's own provider; the ledger says the same."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from reengage.lineage.datasets import Datasets
        from reengage.lineage.provider import client_datasets
        from reengage.outcomes.trail import datasets_of
        from reengage.settings import read_settings

        found = datasets_of(self.task_id, read_settings().home)
        inputs, outputs = client_datasets(Datasets(tuple(found[0]), tuple(found[1])))
        return OperatorLineage(inputs=inputs, outputs=outputs)

    def _begin(self, settings: Settings, context: Context) -> Any:
        from reengage import store
        from reengage.keys import open_keyring
        from reengage.outcomes.trail import Trail
        from reengage.task_run import task_run_of

        keyring = open_keyring(settings.keyring)
        stored = store.connect(settings.store_url)
        trail = Trail(task_run_of(context), keyring, stored, settings.home)
        trail.record("START")
        return trail

    def _in_room(self, settings: Settings, context: Context, trail: Any) -> Any:
        from reengage.campaigns import load_campaigns

        if trail is None:
            raise LedgerError(f"{self.task_id} was opened before its beginning was recorded")
        named = context["params"].get("as_of")
        found: dict[str, dict[str, int]] = {}
        for campaign in load_campaigns(settings.home)[0]:
            day = date.fromisoformat(named) if named else _day(context, campaign)
            _require_past(settings, campaign, day)
            if (counts := self.of(settings, campaign, day)) is not None:
                found[campaign.slug] = counts
        self._complete(trail, found)
        return found

    def _complete(self, trail: Trail, found: dict[str, dict[str, int]]) -> None:
        counts = [next(reversed(one.values())) for one in found.values()]
        trail.record("COMPLETE", rows=sum(counts))

    def _record_failure(self, trail: Any, message: str) -> None:
        if trail is None or trail.ended:
            return
        try:
            trail.record("FAIL", message=message)
        except Exception as error:
            # The audit closes a try without an end; why the task failed must not be hidden.
            self.log.warning("the ledger has no end of this try: %s", type(error).__name__)

    def _record_step(self, context: Context, *_: Any) -> None:
        """The report's times are of campaigns."""


class ObserveOperator(OutcomesOperator):
    """Asks the warehouse what became of everybody whose follow-up is open."""

    def of(self, settings: Settings, campaign: Campaign, day: date) -> dict[str, int] | None:
        """Follow-ups asked about, and those of which something was new."""
        from reengage.keys import open_keyring
        from reengage.outcomes.observe import observe

        observed = observe(settings, open_keyring(settings.keyring), campaign, day)
        if observed is None:
            return None
        return {"asked": observed.asked, "changed": observed.changed}


class PublishOperator(OutcomesOperator):
    """Makes the report's tables of a day."""

    def of(self, settings: Settings, campaign: Campaign, day: date) -> dict[str, int] | None:
        """Lines of the report, and those of them whose numbers may be told."""
        from reengage.outcomes.publish import publish

        published = publish(settings, campaign, day)
        return {"told": published.told, "lines": published.lines}


def _day(context: Context, campaign: Campaign) -> date:
    """The last day that is over where the campaign is, as the DAG run was due."""
    dag_run = context["dag_run"]
    due: datetime = dag_run.logical_date or dag_run.run_after
    return due.astimezone(ZoneInfo(campaign.time_zone)).date() - timedelta(days=1)


def _require_past(settings: Settings, campaign: Campaign, day: date) -> None:
    """A day is known when it is over."""
    today = settings.now().astimezone(ZoneInfo(campaign.time_zone)).date()
    if day >= today:
        raise ConfigurationError(
            f"the outcomes of {day} are not known yet (today is {today}); name a day that is over"
        )
