"""What Airflow logged goes once its time is over, and nothing else does."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from reengage.deploy import tidy as job
from reengage.retention.table import kept

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TASK, PARSED = "dag_id=reengage_x/run_id=r/task_id=send/attempt=1.log", "dag_processor/day/x.py.log"


def write(logs: Path, name: str, days: float) -> Path:
    """A file of so many days ago, as are its directories."""
    path = logs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at), follow_symlinks=False)


@pytest.mark.parametrize(("name", "row"), [(TASK, "airflow_logs"), (PARSED, "parsing_logs")])
def test_a_file_stays_as_long_as_the_table_says_and_no_longer(
    name: str, row: str, tmp_path: Path
) -> None:
    days = kept(row).term.days
    path = write(tmp_path, name, days)
    assert job.tidy(tmp_path, NOW) == 0
    age(path, days + 0.01)
    assert job.tidy(tmp_path, NOW) == 1
    assert not path.exists()


def test_directories_go_when_they_are_old_and_empty(tmp_path: Path) -> None:
    old, young = write(tmp_path, PARSED, 8), write(tmp_path, "dag_processor/today/y.py.log", 0)
    fresh = tmp_path / "dag_id=new"
    fresh.mkdir()
    age(fresh, 0)
    assert job.tidy(tmp_path, NOW) == 1
    age(old.parent, 8)  # its own file went only now
    assert job.tidy(tmp_path, NOW) == 0
    assert not old.parent.exists()
    assert young.exists()
    assert fresh.exists()


def test_it_follows_no_link_and_leaves_the_links_that_airflow_makes(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", "kept.log", 400)
    logs = tmp_path / "logs"
    write(logs, "dag_processor/day/x.py.log", 0)
    (logs / "dag_processor" / "latest").symlink_to(elsewhere.parent)
    age(logs / "dag_processor" / "latest", 400)
    assert job.tidy(logs, NOW) == 0
    assert elsewhere.exists()
    assert (logs / "dag_processor" / "latest").is_symlink()


def test_it_wants_a_directory_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert job.main([]) == job.main([str(tmp_path / "none")]) == 2
    assert job.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "0 log files removed\n"
