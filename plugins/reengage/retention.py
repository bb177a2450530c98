"""Retention: decisions go when they have been kept for as long as they had to be, and not before.

Six years from when a record was last in effect (164.316(b)(2)(i), 164.530(j)(2); SEC-19, PRV-07):
a decision is in effect until the last of its letters is too late. A month goes whole: its partition
is dropped, its key destroyed, so that copies of the database cannot be read either.
"""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Engine, text

from reengage.keys import Keyring

KEEP_YEARS = 6
IN_EFFECT = timedelta(days=60)
"""The longest that a letter may be valid (campaigns.Campaign.letter_valid_days)."""


def purge(store: Engine, keyring: Keyring, today: date) -> list[date]:
    """Drop the months whose time is over; gives their first days. Repeating it is harmless."""
    gone = []
    for month in _months(store):
        if today > _kept_until(month):
            keyring.destroy_month_key(month)  # first: what stops between is found again, not lost
            with store.begin() as connection:
                connection.execute(text(f"DROP TABLE IF EXISTS decision_{month:%Y_%m}"))
            gone.append(month)
    return gone


def _kept_until(month: date) -> date:
    """The last day on which the decisions of a month must still be there."""
    following = (month + timedelta(days=32)).replace(day=1)
    over = following + IN_EFFECT
    return over.replace(year=over.year + KEEP_YEARS, day=min(over.day, 28)) + timedelta(days=3)


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
