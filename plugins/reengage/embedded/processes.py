"""Processes of the embedded default: each in a group of its own, written down, always ended.

A group is stopped by SIGTERM, then SIGKILL. Its leader also dies with the process that started it
(PR_SET_PDEATHSIG), so that even a killed `make run` leaves little; `stop_leftovers` finds the rest
by the files in `var/processes`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from reengage.embedded.layout import Layout
from reengage.errors import ReengageError

GRACE_SECONDS = 10
_PR_SET_PDEATHSIG = 1


class ProcessError(ReengageError):
    """A process of the embedded default did not start, or ended when it should not have."""


@dataclass(frozen=True)
class Process:
    """One component: `name` names its log and its entry in `var/processes`."""

    name: str
    layout: Layout

    @contextmanager
    def running(
        self, command: Sequence[str], env: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The component while the block runs; its whole group is gone afterwards."""
        for directory in (self.layout.logs, self.layout.processes):
            directory.mkdir(parents=True, exist_ok=True)
        entry = self.layout.processes / f"{self.name}.pid"
        with (self.layout.logs / f"{self.name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(env),
                cwd=self.layout.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        entry.write_text(str(child.pid), encoding="ascii")
        try:
            yield child
        finally:
            stop_group(child.pid)
            child.wait()
            entry.unlink(missing_ok=True)


def run_once(command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
    """Run a command to its end. Raises ProcessError naming its log when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603 - our own commands
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        raise ProcessError(
            f"`{' '.join(command)}` failed with {done.returncode}; its output is in {log}"
        )


def stop_leftovers(layout: Layout) -> int:
    """Stop what a killed run left behind; gives the number of groups found."""
    entries = sorted(layout.processes.glob("*.pid"))
    for entry in entries:
        stop_group(int(entry.read_text(encoding="ascii")))
        entry.unlink(missing_ok=True)
    return len(entries)


def stop_group(group: int) -> None:
    """End every process of the group: asked first, killed after `GRACE_SECONDS`."""
    members = _members(group)
    _signal_group(group, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=GRACE_SECONDS)
    if alive or _members(group):
        _signal_group(group, signal.SIGKILL)
        psutil.wait_procs(_members(group), timeout=GRACE_SECONDS)


def _members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, every: float = 0.2
) -> None:
    """Poll `condition()` until it is true. Raises ProcessError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"{what} did not happen within {seconds:.0f} s; see var/log")
        time.sleep(every)
