"""Every error this product raises on purpose: one root, one branch per person who must act.

A message says what failed, what was expected, what was found and what to do next; lower case, no
full stop. It never carries a patient's value: file, row, column and the kind of fault are enough
to act on, and anything more would end in a log (SEC-10, OLN-12).
"""

from __future__ import annotations

import traceback
from pathlib import Path

_LIBRARY = str(Path(__file__).parent)


class ReengageError(Exception):
    """Root of all errors raised on purpose. Its text is free of patient data by construction.

    It may hold a count, unless its class or whoever raises it says that it is `countless`.
    """

    countless: bool = False
    """Whether the text holds no count of patients or letters: then a run's note may say it, which
    an Analyst reads (PRV-27, notes.py)."""

    def __init__(self, *said: object, countless: bool | None = None) -> None:
        super().__init__(*said)
        if countless is not None:
            self.countless = countless


class ConfigurationError(ReengageError):
    """A data engineer must mend a file of the project: campaign, template, suite, SQL, settings."""

    countless = True


class SourceDataError(ReengageError):
    """The owner of the source data must mend a row or a column."""


class GateError(ReengageError):
    """A data-quality expectation failed: nothing may be sent until someone has looked."""


class RefusedError(ReengageError):
    """A person was asked and said no, or nobody answered in time: nothing is sent."""


class VendorError(ReengageError):
    """The compliance officer must act: no business associate agreement in force, host unlisted."""

    countless = True


class RelayError(ReengageError):
    """The operator of the mail relay must act: unreachable, no verified TLS, refused log-in."""


class KeyringError(ReengageError):
    """The holder of the keys must act: a key is missing, destroyed, or opens nothing."""

    countless = True


class StoreError(ReengageError):
    """The operator of the store must act: unreachable, not migrated, or in a state it forbids."""


class BackupError(ReengageError):
    """The operator must act: a backup or a restore did not happen, and nothing was overwritten."""


class LedgerError(ReengageError):
    """The compliance officer must look: the ledger refuses an entry, or is not what it was."""


class LetterError(ReengageError):
    """A composed letter breaks a rule of its campaign: nothing of the run may be sent."""

    countless = True


def place_of(error: BaseException) -> str:
    """Type and place of an unforeseen error, our innermost frame first; never its text.

    Drivers quote rows and addresses in theirs (SEC-10, OLN-12).
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_LIBRARY)] or frames
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(ours[-4:]))
    return (
        f"unforeseen {type(error).__name__} at {where}; its text is withheld, it may name a patient"
    )
