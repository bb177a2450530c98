"""Processes of the embedded default: each in a group of its own, written down, always ended.

A group is stopped by SIGTERM, then SIGKILL. Its leader also dies with the process that started it
(PR_SET_PDEATHSIG), so that even a killed `make run` leaves little; `stop_leftovers` finds the rest
by the files in `var/processes`. A group's number may be another's by then, after a restart of the
machine almost surely: a file tells when its group began, and only that group is stopped.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from reengage.embedded.layout import Layout
from reengage.errors import ReengageError

GRACE_SECONDS = 10
JOB_SECONDS = 60
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
        self.layout.make_private()
        entry = self.layout.processes / f"{self.name}.pid"
        parent = os.getpid()

        def begin() -> None:
            # In the child, before its command begins: nothing runs that is not written down.
            _die_with(parent)
            _write_entry(entry)

        with (self.layout.logs / f"{self.name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(env),
                cwd=self.layout.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=begin,
            )
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


@contextmanager
def only_job(layout: Layout) -> Iterator[None]:
    """The block is the one job (a run or the UI) of this home.

    Raises ProcessError when there is one already: two would share servers and stop each other's.
    """
    layout.make_private()
    with layout.job.open("a+", encoding="ascii") as file:
        if not locked(file):
            file.seek(0)
            raise ProcessError(
                f"a run or the UI of this checkout is under way (process {file.read()});"
                " wait until it ends, or stop it with `make down`"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def stop_job(layout: Layout) -> bool:
    """Tell the job under way to stop, and wait until it has; whether there was one.

    Its lock is held by a living process only, so the number in the file is nobody else's.
    """
    if not layout.job.exists():
        return False
    with layout.job.open("r", encoding="ascii") as file:
        if locked(file):
            return False
        signed = file.read()
        if signed.isdecimal():
            with suppress(ProcessLookupError):
                os.kill(int(signed), signal.SIGTERM)
        wait_until(lambda: locked(file), seconds=JOB_SECONDS, what="the end of the job under way")
    return True


def locked(file: IO[str]) -> bool:
    """Lock the file for this process alone, without waiting; whether that was possible."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_leftovers(layout: Layout) -> int:
    """Stop what a killed run left behind; gives the number of groups found running."""
    stopped = 0
    for entry in sorted(layout.processes.glob("*.pid")):
        try:
            group, _, began = entry.read_text(encoding="ascii").partition(" ")
        except FileNotFoundError:  # its starter has just ended it
            continue
        if group.isdecimal() and _is_same_group(int(group), began):
            stop_group(int(group))
            stopped += 1
        entry.unlink(missing_ok=True)
    return stopped


def stop_group(group: int) -> None:
    """End every process of the group: asked first, killed after `GRACE_SECONDS`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(group, number)
        with suppress(ProcessError):
            wait_until(
                # A zombie has ended, also where nobody will ever reap it.
                lambda: not _members(group),
                seconds=GRACE_SECONDS,
                what="the end of a process group",
                every=0.02,
            )
            return


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


def _is_same_group(group: int, began: str) -> bool:
    """Whether the group, or what is left of it, is the one whose leader began at that instant."""
    if not _members(group):
        return False
    leader = _began(group)
    # Without its leader it is the same: Linux gives no number away that a group still bears.
    return leader is None or leader == began


def _write_entry(entry: Path) -> None:
    """This process's group, and when it began; whole or not at all."""
    pid = os.getpid()
    temporary = entry.with_suffix(".new")
    temporary.write_text(f"{pid} {_began(pid)}", encoding="ascii")
    temporary.replace(entry)


def _began(pid: int) -> str | None:
    """When the process began, in one word: the boot of the machine, and the ticks since then."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return f"{boot}/{fields[19]}"  # field 22 of proc_pid_stat(5); the name may hold blanks


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that took effect
        os._exit(1)


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, every: float = 0.2
) -> None:
    """Poll `condition()` until it is true. Raises ProcessError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"{what} did not happen within {seconds:.0f} s; see var/log")
        time.sleep(every)


def free_port(preferred: int = 0) -> int:
    """A free loopback port: the preferred one if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Whether somebody answers at this loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
