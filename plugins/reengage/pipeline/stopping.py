"""Stopping: a polite end between two letters.

While `polite` is entered, SIGTERM only sets a flag: the letter that is under way is finished, what
is not offered yet is given back. On leaving, the signal is raised again for whoever handled it
before, Airflow's task runner or the system's default.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def polite() -> Iterator[Callable[[], bool]]:
    """Gives what tells whether somebody asked to stop. Signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
        if asked.is_set():
            signal.raise_signal(signal.SIGTERM)
