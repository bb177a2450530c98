"""Retention (SEC-19): one table, what a rule holds for six years goes after them."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import yaml
from reengage.cli import backup as backups
from reengage.cli.compliance import load_rules
from reengage.cli.main import parser
from reengage.errors import KeyringError
from reengage.keys import Keyring, ensure_keyring
from reengage.outcomes.observe import ASKED
from reengage.retention.months import kept_until, oldest_kept, purge
from reengage.retention.page import CLEANED, retention_markdown
from reengage.retention.sweep import Places, sweep
from reengage.retention.table import HELD_FOR_SIX_YEARS, SIX_YEARS, TABLE, kept
from reengage.settings import HOME, NAMES
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

MONTH = date(2020, 2, 1)
LATER = date(2020, 3, 15)
LAST_EFFECT = date(2020, 2, 29) + timedelta(days=60)
"""A letter of the month's last day, at the longest that one may be valid."""
NOW = datetime.now(UTC)
FAB = {
    "AIRFLOW__CORE__AUTH_MANAGER":
        "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__FAB__SESSION_BACKEND": "database",
}  # fmt: skip
NO_PLACE = {
    "ALERT_WEBHOOKS",
    "ACTOR_REQUIRED", "SERVICES_TRUST",
    "HOME", "WAREHOUSE_URL", "STORE_URL", "RELAY_TRUST", "VENDORS_FILE", "PINNED_NOW", "MIRROR_URL",
    "MIRROR_TOKEN", "ACTOR", "AIRFLOW_URL", "SMIME_TRUST", "KEY_SERVICE", "RETURNS_STAFF",
    "RETURNS_TRUST",
}  # fmt: skip
"""Settings that name nothing of ours that is kept: the project, other systems, other people's."""


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = create_engine(store_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


def months(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1"
                )
            ).scalars()
        )


def do(engine: Engine, *statements: str, **parameters: object) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), parameters)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def a_run(engine: Engine, day: date, *, state: str = "sent", dry: bool = False) -> UUID:
    """A run with a letter, a batch, a step, a pause and a follow-up."""
    run = uuid4()
    said = {"run": run, "day": day, "state": state, "rehearsal": run if dry else None}
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256,"
            " vendor, baa_id, opened_at, shredded_at) VALUES"
            " (:run, 'c', :day, 'live', 'd', '', 'v', 'b', :day, :day)",
            "INSERT INTO letter (campaign, patient, period, run_id, campaign_date, sender_run_id,"
            " chunk, state, message_id, sealed, template_sha256, expires_at, rehearsal,"
            " composed_at)"
            " VALUES ('c', CAST(:run AS text), 'x', :run, :day, :run, 0, :state, '<m>', 'sealed',"
            " '', :day, :rehearsal, :day)",
            "INSERT INTO batch_part (run_id, part, patients, sealed) VALUES (:run, 0, 1, 'sealed')",
            "INSERT INTO step VALUES (:run, 'send', 0, 1, :day, :day, 'success')",
            "INSERT INTO watch (run_id) VALUES (:run)",
            "INSERT INTO follow_up (campaign, patient, period, run_id, part, campaign_date, arm,"
            " begins_at, counts) VALUES ('c', CAST(:run AS text), 'x', :run, 0, :day, 'write',"
            " :day, true)",
        ):
            connection.execute(text(statement), said)
    return run


# --- the table ---


def test_nothing_that_a_rule_holds_for_six_years_goes_earlier() -> None:
    for one in TABLE:
        if set(one.rules) & set(HELD_FOR_SIX_YEARS):
            assert one.term.for_good or one.term.years >= SIX_YEARS, one.name


def test_the_rules_of_six_years_are_those_that_say_so_and_each_has_its_rows() -> None:
    rules = load_rules(HOME).rules
    says = {
        key for key, rule in rules.items()
        if "six years" in rule.must.lower() and rule.status == "held"
    }  # fmt: skip
    assert says == set(HELD_FOR_SIX_YEARS)
    cited = {rule for one in TABLE for rule in one.rules}
    assert says <= cited
    assert cited <= set(rules)


def test_every_table_of_the_store_has_its_row(engine: Engine) -> None:
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || relname"
                " FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace"
                " WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND n.nspname IN ('public', 'report')"
            )
        ).scalars()
        told = [table for one in TABLE for table in one.tables]
        assert sorted(found) == sorted(told)


def test_every_place_that_a_setting_names_has_its_row() -> None:
    told = {setting for one in TABLE for setting in one.settings}
    assert told == set(NAMES) - NO_PLACE


def test_names_are_unique_and_what_goes_by_age_says_by_whom() -> None:
    names = [one.name for one in TABLE]
    assert len(names) == len(set(names))
    assert [one.name for one in TABLE if not one.term.for_good and one.by == "nothing"] == []


# --- months of decisions ---


def test_a_month_is_kept_six_years_and_then_goes_with_its_key(
    engine: Engine, keyring: Keyring
) -> None:
    for day in (MONTH, MONTH, LATER):
        do(engine, "SELECT ensure_decision_month(:day)", day=day)
    sealed = keyring.create_month_key(MONTH).seal(b"x", bound_to="here")
    keyring.create_month_key(LATER)

    assert purge(engine, keyring, LAST_EFFECT.replace(year=2026)) == []
    assert months(engine) == ["decision_2020_02", "decision_2020_03"]
    assert keyring.month_key(MONTH).open(sealed, bound_to="here") == b"x"

    day = LAST_EFFECT.replace(year=2026) + timedelta(days=5)
    assert purge(engine, keyring, day) == [MONTH]
    assert months(engine) == ["decision_2020_03"]
    with pytest.raises(KeyringError, match="kept for as long as they had to be"):
        keyring.month_key(MONTH)
    assert purge(engine, keyring, day) == []
    keyring.month_key(LATER)


def test_the_database_refuses_to_drop_a_month_that_is_not_over_and_the_key_stays(
    engine: Engine, keyring: Keyring
) -> None:
    month = date(NOW.year - 5, 1, 1)
    do(engine, "SELECT ensure_decision_month(:day)", day=month)
    keyring.create_month_key(month)
    for role in ("postgres", "reengage_tasks"):
        with pytest.raises(DBAPIError, match="must be kept for six years"):
            do(engine, f"SET LOCAL ROLE {role}", "SELECT drop_decision_month(:day)", day=month)
    with pytest.raises(DBAPIError, match="must be kept for six years"):
        purge(engine, keyring, date(NOW.year + 3, 1, 1))  # a clock that is ahead
    assert keyring.has_month_key(month)
    assert len(months(engine)) == 1


def test_the_oldest_month_that_is_kept_is_the_one_after_the_last_that_goes() -> None:
    for offset in range(0, 800, 7):
        today = date(2026, 1, 1) + timedelta(days=offset)
        oldest = oldest_kept(today)
        assert kept_until(oldest) >= today
        assert kept_until((oldest - timedelta(days=1)).replace(day=1)) < today


# --- dumps ---


def keep_days(arguments: list[str]) -> int:
    """What the command line makes of `backup …`."""
    options: argparse.Namespace = parser().parse_args(arguments)
    return int(options.keep_days)


def test_whoever_backs_up_keeps_dumps_as_long_as_the_table_says() -> None:
    """SEC-10: by hand, by make, in containers and on Kubernetes, also who forgets to say so."""
    days = kept("dumps").term.days
    compose = yaml.safe_load((HOME / "docker-compose.yaml").read_text(encoding="utf-8"))
    [cron] = [
        one
        for one in yaml.safe_load_all((HOME / "deploy/kubernetes/backup.yaml").read_text("utf-8"))
        if one["kind"] == "CronJob"
    ]
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    command = compose["services"]["backup"]["command"]
    assert command[2:5] == ["python", "-m", "reengage"]  # after a name of its own
    assert "--keep-days" in command
    said = [command[5:], pod["containers"][0]["args"], made(), ["backup"]]
    assert [keep_days(one) for one in said] == [days] * 4
    assert keep_days(made("KEEP=7")) == 7


def made(*variables: str) -> list[str]:
    """The arguments of `make backup`."""
    says = ["make", "--no-print-directory", "-n", "backup", "PY=python", *variables]
    told = subprocess.run(says, cwd=HOME, capture_output=True, text=True, check=True).stdout
    line = next(one for one in told.replace("\\\n", " ").splitlines() if " backup" in one)
    return line.split(" -m reengage ", 1)[1].replace('"', "").split()


def test_a_dump_goes_when_its_days_are_over_and_the_newest_never(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    days = kept("dumps").term.days
    ages = {
        name: f"{NOW - timedelta(days=name):%Y%m%dT%H%M%S.%fZ}" for name in (days - 1, days + 1)
    }
    for name in ages.values():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    options = parser().parse_args(["backup"])
    assert backups._expire(options, engine, keyring, tmp_path) == [ages[days + 1]]
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "2"] == [ages[days - 1]]


# --- Airflow's own ---


def test_the_pages_lines_remove_airflows_old_logs_where_airflow_has_them(tmp_path: Path) -> None:
    """In containers they are not below AIRFLOW_HOME: run as they stand, by a real Airflow."""
    days, parsing_days = kept("airflow_logs").term.days, kept("parsing_logs").term.days
    logs = tmp_path / "var" / "log" / "airflow"
    parsed = [logs / "parsing" / f"{age}.log" for age in (parsing_days + 2, parsing_days - 2)]
    for file, age in zip(parsed, (parsing_days + 2, parsing_days - 2), strict=True):
        aged(file, age)
    old, young = logs / "dag_id=a" / "old.log", logs / "dag_id=b" / "young.log"
    aged(old, days + 2)
    aged(young, days - 2)
    elsewhere = tmp_path / "home" / "logs" / "old.log"
    aged(elsewhere, days + 2)
    lines = files_part()
    assert len(lines) == 5
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        check=True,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "AIRFLOW_HOME": str(tmp_path / "home"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "parsing"),
        },
    )
    assert not old.parent.exists()
    assert young.exists()
    assert [file.exists() for file in parsed] == [False, True]
    assert elsewhere.exists()


def pages_lines() -> list[str]:
    """What whoever runs Airflow is told to do, as it stands on the page."""
    [block] = re.findall(r"```\n(.*?)```", retention_markdown(), re.S)
    return block.splitlines()


def files_part() -> list[str]:
    """Of these, what is done about files; before it comes the database."""
    lines = pages_lines()
    return lines[next(n for n, line in enumerate(lines) if line.startswith("LOGS=")) :]


def test_the_page_names_every_table_that_airflow_cleans_but_its_audit_log() -> None:
    """In a process of its own, with the log-in that all ways of running it have: sessions count."""
    asked = (
        "import json; from airflow.utils.db_cleanup import config_list;"
        " print(json.dumps([one.table_name for one in config_list]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, **FAB}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    cleaned = set(json.loads(done.stdout.splitlines()[-1]))
    assert "session" in cleaned
    assert set(CLEANED) == cleaned - {"log"}


@pytest.mark.long
def test_who_did_what_in_airflow_is_known_for_six_years(tmp_path: Path) -> None:
    """SEC-19. The page's lines as they stand, by a real Airflow."""
    database = tmp_path / "airflow.db"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **FAB,
    }
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    engine = create_engine(f"sqlite:///{database}")
    ages = {"young": 89, "old": 91, "over": 366 * SIX_YEARS + 1}
    with engine.begin() as connection:
        for name, days in ages.items():
            at = (NOW - timedelta(days=days)).replace(tzinfo=None).isoformat(" ")
            connection.execute(
                text("INSERT INTO log (dttm, event, owner) VALUES (:at, 'trigger_dag_run', :name)"),
                {"at": at, "name": name},
            )
            connection.execute(
                text("INSERT INTO import_error (timestamp, filename) VALUES (:at, :name)"),
                {"at": at, "name": name},
            )
    lines = pages_lines()[: -len(files_part())]
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)], env=environment, check=True,
        capture_output=True,
    )  # fmt: skip
    with engine.connect() as connection:
        audited = "SELECT owner FROM log WHERE event = 'trigger_dag_run' ORDER BY dttm"
        assert list(connection.execute(text(audited)).scalars()) == ["old", "young"]
        rows = connection.execute(text("SELECT filename FROM import_error")).scalars()
        assert list(rows) == ["young"]
    engine.dispose()


# --- the sweep ---


def test_what_became_of_somebody_is_kept_six_years_from_the_last_day_of_asking(
    engine: Engine, keyring: Keyring
) -> None:
    """SEC-19: an outcome may be known 210 days after the letter that it is counted with."""
    asked = NOW.date().replace(year=NOW.year - SIX_YEARS, day=min(NOW.day, 28))
    for last in (asked, asked - timedelta(days=200)):
        run = a_run(engine, last - ASKED)
        do(
            engine,
            "INSERT INTO outcome (follow_up_id, known_on)"
            " SELECT follow_up_id, :last FROM follow_up WHERE run_id = :run",
            last=last,
            run=run,
        )
    swept = sweep(engine, keyring, HOME, now=NOW, places=Places())
    assert (swept["letters"], swept["follow_ups"]) == (2, 1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT known_on FROM outcome")).scalars().all() == [asked]


def test_an_outcome_of_late_september_2020_is_kept_to_late_september_2026() -> None:
    day = date(2020, 2, 29)
    last = day + ASKED
    assert last == date(2020, 9, 26)
    assert oldest_kept(date(2026, 9, 26) - ASKED) <= day  # which the sweep goes by
    assert oldest_kept(date(2026, 9, 26)) > day  # its letter's time is over long since


# --- the sweep, of everything else ---


def test_what_is_over_goes_with_its_run_and_what_is_not_stays(
    engine: Engine, keyring: Keyring
) -> None:
    old, young = date(2019, 5, 6), NOW.date() - timedelta(days=5 * 365)
    a_run(engine, old)
    a_run(engine, young)
    doubtful = a_run(engine, old, state="unknown")
    swept = sweep(engine, keyring, HOME, now=NOW, places=Places())
    assert swept == {
        "letters": 1, "follow_ups": 2, "runs": 1, "steps": 2, "batches": 2, "sealed_letters": 2,
    }  # fmt: skip
    with engine.connect() as connection:
        left = connection.execute(text("SELECT campaign_date FROM run ORDER BY 1")).scalars().all()
        assert list(left) == [old, young]
        kept_letters = connection.execute(text("SELECT run_id FROM letter")).scalars().all()
        assert doubtful in kept_letters
        assert len(kept_letters) == 2
    assert sweep(engine, keyring, HOME, now=NOW, places=Places()) == {}


def test_the_role_of_the_tasks_may_do_all_of_it(engine: Engine, keyring: Keyring) -> None:
    do(engine, "SELECT ensure_decision_month(:day)", day=MONTH)
    keyring.create_month_key(MONTH)
    a_run(engine, MONTH)
    a_run(engine, NOW.date() - timedelta(days=100), state="rehearsed", dry=True)
    tasks = create_engine(
        engine.url, poolclass=NullPool, connect_args={"options": "-c role=reengage_tasks"}
    )
    swept = sweep(tasks, keyring, HOME, now=NOW, places=Places())
    assert (swept["decisions"], swept["letters"], swept["rehearsals"]) == (1, 1, 1)
    assert count(engine, "run") == 1


def test_how_a_run_began_goes_but_for_what_a_campaign_is_still_known_by(
    engine: Engine, keyring: Keyring
) -> None:
    tasks = create_engine(
        engine.url, poolclass=NullPool, connect_args={"options": "-c role=reengage_tasks"}
    )
    for campaign, mode, days in [
        ("daily", "live", 500), ("daily", "dry", 450), ("daily", "live", 1),
        ("idle", "live", 700), ("idle", "live", 500), ("idle", "dry", 420),
    ]:  # fmt: skip
        do(
            tasks,
            "INSERT INTO beginning (run_id, campaign, dag_run_id, campaign_date, mode, begun_at)"
            " VALUES (gen_random_uuid(), :campaign, CAST(:days AS text), :day, :mode, :day)",
            campaign=campaign, mode=mode, days=days, day=NOW - timedelta(days=days),
        )  # fmt: skip
    assert sweep(tasks, keyring, HOME, now=NOW, places=Places()) == {"beginnings": 3}
    with engine.connect() as connection:
        left = connection.execute(text("SELECT dag_run_id FROM beginning")).scalars()
        assert sorted(left) == ["1", "420", "500"]


def test_a_clock_that_is_ahead_removes_nothing_early(engine: Engine, keyring: Keyring) -> None:
    a_run(engine, NOW.date() - timedelta(days=365))
    swept = sweep(engine, keyring, HOME, now=NOW + timedelta(days=3650), places=Places())
    assert "letters" not in swept
    assert count(engine, "letter") == 1


def test_what_a_key_still_opens_is_left_sealed(engine: Engine, keyring: Keyring) -> None:
    run = a_run(engine, NOW.date() - timedelta(days=60))
    keyring.create_data_key(run)
    assert sweep(engine, keyring, HOME, now=NOW, places=Places()) == {}
    keyring.destroy_data_key(run)
    swept = sweep(engine, keyring, HOME, now=NOW, places=Places())
    assert swept == {"batches": 1, "sealed_letters": 1}
    with engine.connect() as connection:
        assert bytes(connection.execute(text("SELECT sealed FROM letter")).scalar_one()) == b""


def test_letters_in_the_clear_go_after_a_week_and_refused_events_after_three_months(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    rehearsal, refused = tmp_path / "rehearsal", tmp_path / "spool" / "refused"
    ages = {"rehearsed_files": rehearsal / "cur", "refused_events": refused}
    for name, directory in ages.items():
        directory.mkdir(parents=True)
        for days in (kept(name).term.days - 1, kept(name).term.days + 1):
            aged(directory / f"{days:032x}.localhost:2,S", days)
    aged(tmp_path / "spool" / "waiting.json", 10_000)
    places = Places(rehearsal, tmp_path / "spool")
    assert sweep(engine, keyring, HOME, now=NOW, places=places) == dict.fromkeys(ages, 1)
    assert (tmp_path / "spool" / "waiting.json").exists()
    left = [int(path.name[:32], 16) for path in tmp_path.rglob("*.localhost*")]
    assert sorted(left) == [6, 89]


def test_a_folder_of_rehearsals_named_by_mistake_loses_nothing_of_anybody_elses(
    engine: Engine, keyring: Keyring, tmp_path: Path
) -> None:
    """Only what a dry run writes goes: by place and by name, and no link is followed."""
    others = [
        tmp_path / "accounts.xlsx",
        tmp_path / "new" / "1748898000.M1P1.mail",
        tmp_path / "cur" / ".Archive" / f"{1:032x}.localhost",
    ]
    for path in others:
        aged(path, 400)
    (tmp_path / "new" / f"{2:032x}.localhost").symlink_to(others[0])
    aged(tmp_path / "new" / f"{3:032x}.localhost", 400)
    places = Places(tmp_path)
    assert sweep(engine, keyring, HOME, now=NOW, places=places) == {"rehearsed_files": 1}
    assert all(path.exists() for path in others)


def aged(path: Path, days: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, ((NOW - timedelta(days=days)).timestamp(),) * 2)


@pytest.mark.parametrize(("closed", "stays"), [(None, True), (5 * 365, True), (7 * 365, False)])
def test_a_letter_stays_as_long_as_an_incident_of_it_must(
    closed: int | None, stays: bool, engine: Engine, keyring: Keyring
) -> None:
    """SEC-07: a link works for six years, and an incident counts from its end."""
    run = a_run(engine, NOW.date() - timedelta(days=8 * 365))
    do(
        engine,
        "INSERT INTO portal_incident (kind, message_id, letter_id, patient, closed_at)"
        " SELECT 'not_me', 'm', letter_id, patient, :closed FROM letter WHERE run_id = :run",
        run=run,
        closed=NOW - timedelta(days=closed) if closed else None,
    )
    sweep(engine, keyring, HOME, now=NOW, places=Places())
    assert count(engine, "portal_incident") == int(stays)
    assert count(engine, "letter") == int(stays)
