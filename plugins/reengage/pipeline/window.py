"""Window: whether a letter may leave now, and when it next may, by the clock where its patient is.

The hours are the campaign's, the clock is the patient's: 08:00 in Honolulu is noon in Chicago. Who
has no time zone, or one that does not exist, has the practice's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from reengage.pipeline.decide import is_zone
from reengage.pipeline.run import Run, local_day

_MINUTE = timedelta(minutes=1)


def is_open(run: Run, time_zone: str, instant: datetime) -> bool:
    """Whether the campaign may write to somebody in `time_zone` at this instant."""
    local = instant.astimezone(_zone(run, time_zone)).time()
    window = run.campaign.send_window
    return window.opens <= local < window.closes


def opens_again(run: Run, time_zone: str, now: datetime, expires_at: datetime) -> datetime | None:
    """When the window opens after `now`, if the run can still send then; else None.

    It can on its own day only, and before the letter is too late. A pinned clock never gets there.
    """
    if run.settings.pinned_now is not None:
        return None
    opening = _next_opening(run, time_zone, now)
    if opening is None or opening >= expires_at or local_day(opening, run.campaign) != run.day:
        return None
    return opening


def _next_opening(run: Run, time_zone: str, after: datetime) -> datetime | None:
    zone = _zone(run, time_zone)
    today = after.astimezone(zone).date()
    opens = run.campaign.send_window.opens
    # Where clocks go back, an hour comes twice: each time the window opens.
    candidates = (
        _first_open(run, time_zone, datetime.combine(day, opens.replace(fold=fold), zone))
        for day in (today, today + timedelta(days=1))
        for fold in (0, 1)
    )
    return min((one for one in candidates if one is not None and one > after), default=None)


def _first_open(run: Run, time_zone: str, named: datetime) -> datetime | None:
    """The instant that a wall clock's time names; the end of the gap where clocks go forward."""
    instant = named.astimezone(UTC)
    if not is_open(run, time_zone, instant):
        return None
    while is_open(run, time_zone, instant - _MINUTE):
        instant -= _MINUTE
    return instant


def _zone(run: Run, time_zone: str) -> ZoneInfo:
    return ZoneInfo(time_zone if is_zone(time_zone) else run.practice.time_zone)
