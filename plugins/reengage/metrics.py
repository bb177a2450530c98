"""Metrics: hands measures to Airflow's own channel, StatsD or OpenTelemetry, whichever is on.

Off where Airflow's is off. A metric that cannot be made or sent stops no task and hides no failure:
it is told by type, and nothing of it is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from reengage.measures import Measure, of_practice, of_step
from reengage.settings import Settings, read_settings

STANDING = ("settle", "reconcile")
"""Tasks after which the practice's standing is measured: each day, whatever they found."""

log = logging.getLogger(__name__)


def tell(measures: Iterable[Measure]) -> None:
    """Hand measures over."""
    from airflow.sdk.observability import stats

    for one in measures:
        if one.kind == "timing":
            stats.timing(one.dotted, one.value)
        elif one.kind == "counter":
            stats.incr(one.dotted, int(one.value))
        else:
            stats.gauge(one.dotted, one.value)


def after(
    campaign: str, task: str, started: datetime, result: Any, *, failed: bool, live: bool = True
) -> None:
    """Measure a try of a task that has just ended; `live` = letters may leave. Never raises."""
    try:
        seconds = (datetime.now(UTC) - started).total_seconds()
        tell(of_step(campaign, task, seconds, result, failed=failed, live=live))
        if task in STANDING:
            tell(_standing(read_settings()))
    except Exception as error:
        log.warning("a metric was not told: %s", type(error).__name__)


def _standing(settings: Settings) -> list[Measure]:
    from reengage import store
    from reengage.vendors import load_vendors

    vendors = load_vendors(settings.vendors_path)
    engine = store.connect(settings.store_url)
    return of_practice(engine, settings.home, vendors.values(), settings.now().date())
