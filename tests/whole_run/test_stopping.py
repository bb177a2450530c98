"""Whatever a run started is stopped with it: interrupted, or killed and then `make down`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from reengage.embedded.home import copy_home
from reengage.settings import HOME

pytestmark = pytest.mark.long


PATIENCE = 180
"""Seconds until a wait is given up: PostgreSQL alone has a minute to stop in."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home and a keyring of the test's own; their paths mark what is started there."""
    home = copy_home(HOME, tmp_path / "home")
    return {**os.environ, "REENGAGE_HOME": str(home), "XDG_STATE_HOME": str(tmp_path / "state")}


def test_an_interrupted_run_stops_all_that_it_started(environment: dict[str, str]) -> None:
    with _running(environment) as run:
        assert len(_left(environment)) > 3
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE) == 130
        assert _left(environment) == []


def test_make_down_stops_what_a_killed_run_left(environment: dict[str, str]) -> None:
    with _running(environment) as run:
        run.kill()
        run.wait(PATIENCE)
        down = _command("down", environment)
        assert down.wait(PATIENCE) == 0
        assert _left(environment) == []


@contextmanager
def _running(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A run whose Airflow is up."""
    run = _command("run", environment)
    assert run.stdout is not None
    try:
        for line in run.stdout:
            if "Airflow is up" in line:
                break
        assert run.poll() is None
        yield run
    finally:
        run.kill()
        run.wait()
        _command("down", environment).wait(PATIENCE)


def _command(name: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "reengage", name],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to it is not for the test
        # A shell's background job has its children ignore Ctrl-C, and who ignores it goes on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _left(environment: dict[str, str]) -> list[str]:
    """Processes that know of this home, by their environment or their command."""
    home = environment["REENGAGE_HOME"]
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            command = process.cmdline()
            if process.environ().get("REENGAGE_HOME") == home or home in " ".join(command):
                found.append(" ".join(command))
        except psutil.Error:
            continue
    return found
