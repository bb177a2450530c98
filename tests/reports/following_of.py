"""A campaign's outcomes in a store, as told on some days: what pages of outcomes are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from following import Many
from reengage.campaigns import load_campaign
from reengage.outcomes.publish import publish
from reengage.settings import HOME


def told_on(
    store_url: str, campaign: str, days: Sequence[date], sizes: dict[str, int], begun: date
) -> Many:
    """Follow-ups that began evenly over 30 days, and the campaign's report of these days."""
    many = Many.put(store_url, sizes, begun=begun, days=30, rates={"write": 0.6, "holdout": 0.2})
    many.execute(
        "UPDATE follow_up SET campaign = :campaign WHERE period = '' AND campaign <> :campaign",
        campaign=campaign,
    )
    # The run that they hang on is no newer than any of the campaign's own.
    many.execute("UPDATE run SET opened_at = '2000-01-01Z' WHERE vendor = 'v' AND baa_id = 'b'")
    for day in days:
        many.execute(
            "INSERT INTO outcome_day VALUES (:campaign, :day, :until, 0, 0)",
            campaign=campaign,
            day=day,
            until=datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC),
        )
        publish(many.settings, load_campaign(HOME, campaign), day)
    return many
