"""Runs: the order of a run's events: one START, then at most one end, and nothing after it."""

from __future__ import annotations

from hashlib import sha256

FIRST = "START"
BETWEEN = frozenset({"RUNNING", "OTHER"})
ENDS = frozenset({"COMPLETE", "FAIL", "ABORT"})
_MARK_BYTES = 16


class Runs:
    """Every run so far. An ended one costs its mark of 16 bytes, since it may never come back."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}
        self._ended: set[bytes] = set()

    @property
    def open(self) -> list[str]:
        """Ids of the runs without an end, first come first."""
        return list(self._open)

    def event(self, run: str, type_: object) -> str | None:
        """Take the next event; gives the words for what is wrong with it, if anything is."""
        mark = sha256(run.encode()).digest()[:_MARK_BYTES]
        if mark in self._ended:
            return "comes after the end of its run"
        if type_ == FIRST:
            if run in self._open:
                return "is a second START of its run"
            self._open[run] = None
            return None
        if not isinstance(type_, str) or type_ not in BETWEEN | ENDS:
            return "is an event of a type that a run does not have"
        if run not in self._open:
            return "is an event of a run without a START"
        if type_ in ENDS:
            del self._open[run]
            self._ended.add(mark)
        return None
