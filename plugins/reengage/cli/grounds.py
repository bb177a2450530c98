"""Grounds: why somebody decided something, in words that may be kept in the ledger for good."""

from __future__ import annotations

import re

from reengage.errors import ConfigurationError

_LONGEST = 200
# An address, or a number as long as a record's: who writes a ground needs neither.
_NAMES_SOMEBODY = re.compile(r"@|\d{6}")


def ground_of(because: str) -> str:
    """The ground, on one line. Raises ConfigurationError: it is none, or names somebody."""
    ground = " ".join(because.split())
    if not 3 <= len(ground) <= _LONGEST or _NAMES_SOMEBODY.search(ground):
        raise ConfigurationError(
            f"--because is kept in the ledger for good: write 3 to {_LONGEST} characters on what"
            " was looked at, without an address, a name or a record's number"
        )
    return ground
