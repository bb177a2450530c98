"""Fixtures of the command line: a home of its own, and a practice as the environment has it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from daily import Practice
from reengage.cli import commands, staff_commands, upkeep_commands
from reengage.settings import HOME


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for the commands of this process, with nothing else in reach."""
    shutil.copytree(HOME / "docs", home / "docs", ignore=shutil.ignore_patterns("pictures"))
    for module in (commands, staff_commands, upkeep_commands):
        monkeypatch.setattr(module, "HOME", home)
    for name in [name for name in os.environ if name.startswith("REENGAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(home.parent / "state"))
    return home


@pytest.fixture
def desk(here: Path, practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Practice:
    """The practice, as the environment of a command describes it."""
    settings = practice.settings
    monkeypatch.setenv("REENGAGE_STORE_URL", settings.store_url)
    monkeypatch.setenv("REENGAGE_WAREHOUSE_URL", settings.warehouse_url)
    monkeypatch.setenv("REENGAGE_KEYRING", str(settings.keyring))
    return practice
