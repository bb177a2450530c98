"""Retention (SEC-19, PRV-07): a month of decisions goes whole, six years after its last effect."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from reengage.errors import KeyringError
from reengage.keys import ensure_keyring
from reengage.retention import purge
from sqlalchemy import create_engine, text

MONTH = date(2020, 2, 1)
LATER = date(2020, 3, 15)
LAST_EFFECT = date(2020, 2, 29) + timedelta(days=60)
"""A letter of the month's last day, at the longest that one may be valid."""


def months(store_url: str) -> list[str]:
    with create_engine(store_url).connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1"
                )
            ).scalars()
        )


def test_a_month_is_kept_six_years_and_then_goes_with_its_key(
    store_url: str, tmp_path: Path
) -> None:
    keyring = ensure_keyring(tmp_path / "keyring")
    engine = create_engine(store_url)
    with engine.begin() as connection:
        for day in (MONTH, LATER):
            connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": day})
            connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": day})
    sealed = keyring.create_month_key(MONTH).seal(b"x", bound_to="here")
    keyring.create_month_key(LATER)

    assert purge(engine, keyring, LAST_EFFECT.replace(year=2026)) == []
    assert months(store_url) == ["decision_2020_02", "decision_2020_03"]
    assert keyring.month_key(MONTH).open(sealed, bound_to="here") == b"x"

    day = LAST_EFFECT.replace(year=2026) + timedelta(days=5)
    assert purge(engine, keyring, day) == [MONTH]
    assert months(store_url) == ["decision_2020_03"]
    with pytest.raises(KeyringError, match="kept for as long as they had to be"):
        keyring.month_key(MONTH)
    assert purge(engine, keyring, day) == []
    keyring.month_key(LATER)
    engine.dispose()
