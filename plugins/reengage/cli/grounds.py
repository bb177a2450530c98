"""Grounds at the command line: `--because`, in words that may be kept in the ledger for good."""

from __future__ import annotations

from reengage.errors import ConfigurationError
from reengage.grounds import LONGEST, tidy


def ground_of(because: str) -> str:
    """The ground, on one line. Raises ConfigurationError: it is none, or names somebody."""
    ground = tidy(because)
    if ground is None:
        raise ConfigurationError(
            f"--because is kept in the ledger for good: write 3 to {LONGEST} characters on what"
            " was looked at, without an address, a name or a record's number"
        )
    return ground
