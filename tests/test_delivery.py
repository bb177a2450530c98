"""How fast, how often, when to stop: what the files may say, and what it means."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError
from reengage.campaigns import load_campaign
from reengage.delivery import Breaker, Rate, Retry
from reengage.settings import HOME
from reengage.vendors import load_vendors


def test_the_pauses_between_tries_are_those_of_rfc_5321() -> None:
    """Section 4.5.4.1: at least 30 minutes, then one try every two or three hours."""
    minutes = [Retry().pause(tries) // timedelta(minutes=1) for tries in range(1, 7)]
    assert minutes == [30, 60, 120, 180, 180, 180]
    assert Retry().pause(10_000) == timedelta(hours=3)
    assert Retry(first_minutes=5, most_minutes=7).pause(2) == timedelta(minutes=7)


@pytest.mark.parametrize(
    ("rate", "most"),
    [({"per_second": 14}, 14), ({"per_second": 0.2}, 1), ({"per_second": 5, "burst": 40}, 40)],
)
def test_a_bucket_holds_its_burst_or_one_seconds_letters(
    rate: dict[str, float], most: float
) -> None:
    assert Rate.model_validate(rate).most_at_once == most


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        (Rate, {"burst": 10}, "needs `per_second`"),
        (Rate, {"per_second": 0}, "greater than 0"),
        (Rate, {"per_minute": 3}, "Extra inputs"),
        (Retry, {"first_minutes": 60, "most_minutes": 30}, "no less than"),
        (Retry, {"first_minutes": 0}, "greater than or equal to 1"),
        (Breaker, {"of": 4}, "greater than or equal to 5"),
        (Breaker, {"refused": 0}, "greater than 0"),
        (Breaker, {"errors": 1.1}, "less than or equal to 1"),
        (Breaker, {"of": "20"}, "valid integer"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    model: type[Rate | Retry | Breaker], values: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        model.model_validate(values)


def test_a_file_that_says_nothing_has_a_plan_a_breaker_and_no_limit() -> None:
    campaign = load_campaign(HOME, "appointment_reminder")
    assert (campaign.retry, campaign.breaker) == (Retry(), Breaker())
    assert campaign.unknown_alert_days == 3
    assert load_vendors(HOME / "vendors.yaml")["embedded"].rate == Rate()
