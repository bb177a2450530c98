"""Notes: what the note on a DAG run says of a failure, without a count of patients or letters.

Airflow gives the note to everybody who may open the run, an Analyst too, who opens no log and no
XCom and is to learn no count of 1 to 10 (PRV-27). So an error's text goes there only where its kind
or whoever raised it says that it is countless, and only while no number stands in it by itself;
anything else is withheld in one sentence, the same for all, so that it does not tell what it
withholds. The whole text is in the task's log, the alert and the ledger. Pure.
"""

from __future__ import annotations

import re

from reengage.errors import ReengageError, place_of

REASON_KEY = "reengage_reason"
"""XCom key under which a failed task leaves its reason, whole: for who may read XComs."""
NOTE_KEY = "reengage_note"
"""XCom key under which it leaves what the run's note may say; the plugin reads no other."""

WITHHELD = (
    "failed; why may hold a count, so this note does not say it: see the task's log, the alert, or"
    " in Reports the task's end in the ledger (Compliance)"
)

_NUMBERED = re.compile(r"\b(line|port|key|RFC|section) \d+\b")
"""What is numbered, not counted."""
_BETWEEN = re.compile(r"[\s,;()\[\]{}<>'\"`=]+")
_NO_COUNT = re.compile(
    r"\d{4}-\d{2}(-\d{2}(T\S+)?)?"  # a month, a day, an instant
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a run
    r"|\S*\.[A-Za-z]+(:\d+)+"  # a line of a file, a port of a host
    r"|(?=\S*[A-Za-z])\S*/\S*"  # a path, an address
    r"|[A-Za-z_][\w.+-]*"  # a name
)


def note_of(error: BaseException) -> str:
    """What a run's note may say of it; of an error that is not ours, type and place."""
    if not isinstance(error, ReengageError):
        return place_of(error)
    said = f"{type(error).__name__}: {error}"
    return said if error.countless and not _holds_a_number(said) else WITHHELD


def _holds_a_number(said: str) -> bool:
    """Whether a number stands in it by itself, so that it may be a count."""
    words = (word.strip(".:!?") for word in _BETWEEN.split(_NUMBERED.sub("", said)))
    return any(any(map(str.isnumeric, word)) and not _NO_COUNT.fullmatch(word) for word in words)
