"""Grounds: why somebody decided something, in words that may be kept in the ledger for good."""

from __future__ import annotations

import re

LONGEST = 200
"""Characters."""
# An address, or a number as long as a record's: who writes a ground needs neither.
_NAMES_SOMEBODY = re.compile(r"@|\d{6}")


def tidy(because: str) -> str | None:
    """The ground on one line; None = it is none, or names somebody."""
    ground = " ".join(because.split())
    if not 3 <= len(ground) <= LONGEST or _NAMES_SOMEBODY.search(ground):
        return None
    return ground if ground.isprintable() else None
