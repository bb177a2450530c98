"""Beginning: how preflight says that a run began and how that ended, whatever stops it.

The pages would know nothing of a run that died before it had its row (pipeline/beginnings.py).
What cannot be noted at the beginning does not begin; an end that cannot be noted hides nothing, and
leaves what a killed task leaves: a beginning.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    TaskAwaitingInput,
)

from reengage.pipeline.run import derive_run_id
from reengage.settings import Settings, read_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from reengage.operator_asking import Answer
    from reengage.pipeline.beginnings import Ended
    from reengage.pipeline.trail import Trail

LOG = logging.getLogger(__name__)

OF_A_DAY = ("scheduled", "backfill")
"""Types of Airflow's runs that are of their logical date: a backfill of past days is a replay."""


class AskedFor(TypedDict):
    """What was asked of a run when it was triggered."""

    day: date | None
    scheduled_for: datetime | None
    dry: bool


def asked_for(context: Context) -> AskedFor:
    """By the run's parameters and its type."""
    params, dag_run = context["params"], context["dag_run"]
    named = params.get("campaign_date")
    return {
        "day": date.fromisoformat(named) if named else None,
        "scheduled_for": dag_run.logical_date if dag_run.run_type in OF_A_DAY else None,
        "dry": bool(params.get("dry")),
    }


def run_id_of(context: Context) -> UUID:
    """The identity of the run that the task belongs to."""
    dag_run = context["dag_run"]
    return derive_run_id(dag_run.dag_id, dag_run.run_id)


class Begins:
    """A task that begins a run. Comes before AsksForApproval and RoomOperator.

    Its room gives an instant where the relay has no time before that.
    """

    campaign: str
    refusal: Answer | None

    def _begin(self, settings: Settings, context: Context) -> Trail | None:
        """First of all that it begins: without keys there is no record in the ledger of it."""
        from reengage.pipeline import beginnings

        run_id, name = run_id_of(context), context["dag_run"].run_id
        beginnings.begin(settings, self.campaign, run_id, name, **asked_for(context))
        trail: Trail | None = super()._begin(settings, context)  # type: ignore[misc]
        return trail

    def waits(self, result: Any) -> bool:
        """For a person, or for the relay."""
        return isinstance(result, datetime) or super().waits(result)  # type: ignore[misc]

    def shown(self, result: Any) -> Any:
        """Ids and the day; a relay that has no time holds no worker."""
        if isinstance(result, datetime):
            raise AirflowRescheduleException(result)
        return super().shown(result)  # type: ignore[misc]

    def _corridor(self, context: Context) -> Any:
        try:
            return super()._corridor(context)  # type: ignore[misc]
        except TaskAwaitingInput as waits:
            _note(context, "asked", waits.timeout)
            raise
        except AirflowRescheduleException:  # the relay has no time
            _note(context, "retried")
            raise
        except AirflowException as failure:
            _note(context, self._ended(context, failure))
            raise

    def _ended(self, context: Context, failure: AirflowException) -> Ended:
        if self.refusal is not None:
            return "rejected" if self.refusal.by else "unanswered"
        ti = context["ti"]
        final = isinstance(failure, AirflowFailException) or ti.try_number > ti.max_tries
        return "failed" if final else "retried"


def _note(context: Context, ended: Ended, patience: timedelta | None = None) -> None:
    """Raises nothing: why the task ends must not be hidden."""
    from reengage.pipeline import beginnings

    try:
        settings = read_settings()
        until = settings.now() + patience if patience else None
        beginnings.end(settings, run_id_of(context), ended, until)
    except Exception as error:
        LOG.warning("the pages may not know how preflight ended: %s", type(error).__name__)
