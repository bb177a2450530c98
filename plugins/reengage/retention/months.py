"""Months of decisions: they go whole when they were kept for as long as they had to be.

Six years from when a record was last in effect (164.316(b)(2)(i), 164.530(j)(2); SEC-19, PRV-07):
a decision is in effect until the last of its letters is too late. A month goes whole: its key is
destroyed and its partition dropped, so that copies of the database cannot be read either. The
tasks' role owns no table: a function of the owner's drops it, which by the database's own clock
refuses a month that is not over.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Engine, text

from reengage.keys import Keyring
from reengage.retention.table import SIX_YEARS

IN_EFFECT = timedelta(days=60)
"""The longest that a letter may be valid (campaigns.Campaign.letter_valid_days)."""
GRACE = timedelta(days=3)
"""Of leap days and time zones."""


def purge(store: Engine, keyring: Keyring, today: date) -> list[date]:
    """Drop the months whose time is over; gives their first days. Repeating it is harmless."""
    gone = []
    for month in _months(store):
        if today > kept_until(month):
            with store.begin() as connection:
                # It refuses before the key goes; the key goes before it commits, so that what stops
                # between is found again, not lost.
                connection.execute(text("SELECT drop_decision_month(:month)"), {"month": month})
                keyring.destroy_month_key(month)
            gone.append(month)
    return gone


def kept_until(month: date) -> date:
    """The last day on which the records of a month must still be there."""
    over = _following(month) + IN_EFFECT
    return over.replace(year=over.year + SIX_YEARS, day=min(over.day, 28)) + GRACE


def oldest_kept(today: date) -> date:
    """First day of the oldest month whose records must still be there."""
    month = today.replace(year=today.year - SIX_YEARS - 2, month=1, day=1)
    while today > kept_until(month):
        month = _following(month)
    return month


def _following(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def _months(store: Engine) -> list[date]:
    with store.connect() as connection:
        names = connection.execute(
            text(
                "SELECT to_char(to_date(right(relname, 7), 'YYYY_MM'), 'YYYY-MM-DD')"
                " FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
                " WHERE inhparent = CAST('decision' AS regclass) ORDER BY 1"
            )
        ).scalars()
        return [date.fromisoformat(name) for name in names]
