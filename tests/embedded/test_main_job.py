"""The main job: what it does where `var/`, or the whole checkout, was deleted before."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from reengage.embedded import main_job
from reengage.embedded.home import copy_home
from reengage.embedded.layout import Layout
from reengage.keys import ensure_keyring
from reengage.settings import CHECKPOINTS, HOME
from rich.console import Console

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Of a checkout whose keys were used: a checkpoint was signed and a refusal was told."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Layout(copy_home(HOME, tmp_path / "home"))
    made.make_private()
    ensure_keyring(made.keyring)
    (made.keyring / CHECKPOINTS).mkdir()
    (made.keyring / CHECKPOINTS / "1159").write_text("signed")
    (made.keyring / "refusals.jsonl").write_text("{}")
    return made


def test_what_was_signed_of_a_ledger_that_is_gone_is_kept_aside(layout: Layout) -> None:
    aside = main_job.set_checkpoints_aside(layout, NOW)
    assert aside == layout.keyring / "checkpoints.until-20260304T050607.000000Z"
    assert (aside / "1159").read_text() == "signed"
    assert not (layout.keyring / CHECKPOINTS).exists()
    assert (layout.keyring / "refusals.jsonl").exists()  # a refusal holds beyond its store
    assert main_job.set_checkpoints_aside(layout, NOW) is None


@pytest.mark.parametrize("there", [True, False])
def test_only_a_new_server_has_its_own_ledger(layout: Layout, there: bool) -> None:
    if there:
        layout.postgres.mkdir()
        (layout.postgres / "PG_VERSION").write_text("18")
    told = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main_job.postgres, "running", _NoServer)
        with main_job._store_of(layout, Console(file=told)):
            assert (layout.keyring / CHECKPOINTS).exists() is there
    assert ("checkpoints.until-" in told.getvalue()) is not there


class _NoServer:
    """Stands for a server: starting one takes seconds, and test_postgres.py does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> _NoServer:
        return self

    def __exit__(self, *_: object) -> None:
        return
