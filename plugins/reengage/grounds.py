"""Grounds: why a person decided something, in words that may be kept in the ledger for good."""

from __future__ import annotations

import re

from reengage.errors import ConfigurationError

LONGEST_GROUND = 200
"""Characters."""
NO_REASON = "no reason given"
"""What stands where a no has none."""
# An address, or a number as long as a record's: who writes a ground needs neither.
_NAMES_SOMEBODY = re.compile(r"@|\d{6}")


def tidy(because: str) -> str | None:
    """The ground on one line; None = it is none, or names somebody."""
    ground = " ".join(because.split())
    if not 3 <= len(ground) <= LONGEST_GROUND or _NAMES_SOMEBODY.search(ground):
        return None
    return ground if ground.isprintable() else None


def require_ground(because: str, of: str) -> str:
    """The ground, on one line. Raises ConfigurationError: it is none, or names somebody.

    `of` is where it was written, as the message names it: an option or a field of a page.
    """
    ground = tidy(because)
    if ground is None:
        raise ConfigurationError(
            f"{of} is kept in the ledger for good: write 3 to {LONGEST_GROUND} characters on what"
            " was looked at, without an address, a name or a record's number"
        )
    return ground
