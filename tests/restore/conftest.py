"""Fixtures: a practice whose store is backed up and lost, as an operator's commands see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from daily import Practice
from drill import CAMPAIGN, Drill
from reengage.cli import staff_commands, upkeep_commands
from reengage.embedded.postgres import Postgres
from simulators.smtp import HostileRelay

LETTERS = int(os.environ.get("REENGAGE_DRILL", "6"))


@pytest.fixture
def site(
    practice: Practice,
    server: Postgres,
    hostile: HostileRelay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Drill:
    """The practice as the environment of a command describes it."""
    settings = practice.settings
    for name in [name for name in os.environ if name.startswith("REENGAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(upkeep_commands, "HOME", settings.home)
    monkeypatch.setattr(staff_commands, "HOME", settings.home)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("REENGAGE_STORE_URL", settings.store_url)
    monkeypatch.setenv("REENGAGE_WAREHOUSE_URL", settings.warehouse_url)
    monkeypatch.setenv("REENGAGE_KEYRING", str(settings.keyring))
    monkeypatch.setenv("REENGAGE_ARCHIVE", str(tmp_path / "archive"))
    return Drill(practice, server, hostile, tmp_path, LETTERS, tell=print)


@pytest.fixture
def backed_up(site: Drill) -> Drill:
    """A backup with a letter that is open in it."""
    site.practice.world.patient("p0")
    site.practice.hurry(run := site.practice.open(CAMPAIGN))
    site.under_way = run.run_id
    site.back_up()
    return site
