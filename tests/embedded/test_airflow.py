"""The embedded Airflow's log-in, the day a job plays, and who may look into `var/`."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

import pytest
from reengage.embedded import main_job
from reengage.embedded.airflow import ACCOUNTS, account_url, ensure_log_ins, environment
from reengage.embedded.layout import Layout
from reengage.roles import ROLES


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make_private()
    return layout


def generated(layout: Layout) -> Path:
    return layout.airflow / "log-ins.json"


USERS = ["admin", "analyst", "auditor", "compliance", "engineer"]


def passwords_of(layout: Layout) -> dict[str, str]:
    return {user: one.password for user, one in ensure_log_ins(layout).items()}


def test_the_log_ins_are_made_once_and_for_their_owner_only(layout: Layout) -> None:
    passwords = passwords_of(layout)
    assert sorted(passwords) == USERS
    assert min(len(one) for one in {*passwords.values()}) >= 16
    assert passwords_of(layout) == passwords
    kept = json.loads(generated(layout).read_text())
    assert {user: one["password"] for user, one in kept.items()} == passwords
    assert generated(layout).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["", '{"adm', "[]", '{"other": "x"}', '{"admin": ""}', '{"admin": {"password": 7}}']
)
def test_log_ins_that_were_half_written_are_made_anew(content: str, layout: Layout) -> None:
    generated(layout).write_text(content)
    passwords = passwords_of(layout)
    assert sorted(passwords) == USERS
    assert all(passwords.values())
    assert generated(layout).stat().st_mode & 0o777 == 0o600


def test_one_that_was_there_is_kept_and_closed_to_others(layout: Layout) -> None:
    generated(layout).write_text('{"admin": {"role": "Admin", "password": "kept"}}')
    generated(layout).chmod(0o644)
    assert passwords_of(layout)["admin"] == "kept"
    assert generated(layout).stat().st_mode & 0o777 == 0o600


def test_the_audit_asks_with_an_account_that_only_looks(layout: Layout) -> None:
    """SEC-11: a service has an account of its own, too."""
    password = passwords_of(layout)["auditor"]
    assert account_url(layout, 8080) == f"http://auditor:{password}@127.0.0.1:8080"
    assert {action for action, _ in ROLES[ACCOUNTS["auditor"]].permissions} == {"can_read"}


def test_sessions_are_short_and_guesses_few(layout: Layout) -> None:
    """SEC-13, SEC-05."""
    found = environment(layout, "postgresql://", 8080)
    assert found["AIRFLOW__CORE__AUTH_MANAGER"].endswith("FabAuthManager")
    assert found["AIRFLOW__FAB__SESSION_LIFETIME_MINUTES"] == "15"
    assert found["AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME"] == "900"
    assert found["AIRFLOW__FAB__AUTH_RATE_LIMITED"] == "True"
    assert found["AIRFLOW__FAB__AUTH_ROLE_PUBLIC"] == ""


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/Chicago", date(2026, 1, 31)), ("Pacific/Auckland", date(2026, 2, 1))],
)
def test_a_job_plays_the_day_it_is_at_the_practice(
    zone: str, day: date, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evening(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Evening:
            return cls.fromtimestamp(datetime(2026, 2, 1, 3, tzinfo=UTC).timestamp(), tz)

    path = home / "practice.yaml"
    content = path.read_text(encoding="utf-8")
    assert "America/Chicago" in content
    path.write_text(content.replace("America/Chicago", zone), encoding="utf-8")
    monkeypatch.setattr(main_job, "HOME", home)
    monkeypatch.setattr(main_job, "datetime", Evening)
    assert main_job.Job().day == day
    assert main_job.Job(as_of=date(2025, 5, 5)).day == date(2025, 5, 5)


def test_var_is_for_its_user_only_also_where_it_was_open(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    before = os.umask(0)
    try:
        layout.logs.mkdir(parents=True)
        layout.make_private()
    finally:
        os.umask(before)
    assert layout.var.stat().st_mode & 0o777 == 0o711
    for directory in (
        layout.airflow, layout.maildir, layout.rehearsal, layout.logs, layout.lineage.parent,
        layout.certificates, layout.processes,
    ):  # fmt: skip
        assert directory.stat().st_mode & 0o777 == 0o700
