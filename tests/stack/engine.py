"""A container engine: the one that runs here, else one of our own for as long as a test needs it.

Our own (Debian's docker.io, as root) keeps its data in a directory of its own, so that neither its
images nor its networks meet anybody else's; a second run finds the images of the first.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(os.environ.get("REENGAGE_ENGINE") or "/var/tmp/reengage-engine")
START_SECONDS = 60.0
"""A killed engine's containers are looked after first."""


class NoEngineError(Exception):
    """No engine can run here; the text says why."""


def docker(*arguments: str, check: bool = True, timeout: float = 900) -> str:
    """What the command said. Raises CalledProcessError, or gives the text of a failure."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout
    )
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def logs(container: str) -> str:
    """What the container wrote to either of its streams."""
    return subprocess.run(
        ["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=True, timeout=300,
    ).stdout  # fmt: skip


def _answers() -> bool:
    return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode


@contextmanager
def engine() -> Iterator[None]:
    """An engine that `docker` speaks to. Raises NoEngineError."""
    if not shutil.which("docker"):
        raise NoEngineError("no docker command here; on Debian: apt-get install docker.io")
    if _answers():
        yield
        return
    if os.geteuid() or not shutil.which("dockerd"):
        raise NoEngineError(
            "no engine answers, and none can be started: that takes root and dockerd"
            " (on Debian: apt-get install docker.io)"
        )
    HOME.mkdir(parents=True, exist_ok=True)
    os.environ["DOCKER_HOST"] = f"unix://{HOME}/docker.sock"
    with (HOME / "log").open("wb") as log:
        child = subprocess.Popen(
            ["dockerd", "--data-root", HOME / "data", "--exec-root", HOME / "run",
             "--pidfile", HOME / "pid", "-H", os.environ["DOCKER_HOST"]],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers():
            if child.poll() is not None or time.monotonic() > deadline:
                told = (HOME / "log").read_text(errors="replace").splitlines()[-3:]
                raise NoEngineError(f"dockerd does not start here: {' / '.join(told)}")
            time.sleep(0.3)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # and its containerd, in the same group
            child.wait()
        del os.environ["DOCKER_HOST"]
