"""A server of a benchmark's own, on a free port, for as long as it is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reengage.embedded.processes import free_port, listens, wait_until


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Python with `command` and --port, what it prints goes to `log`; gives its address."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            env={**os.environ, **environment}, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: listens(port), seconds=60, what=f"the server, see {log}", every=0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
