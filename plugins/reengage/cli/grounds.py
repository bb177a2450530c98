"""Grounds on the command line: `--because`."""

from __future__ import annotations

from reengage.grounds import require_ground


def ground_of(because: str) -> str:
    """The ground, on one line. Raises ConfigurationError: it is none, or names somebody."""
    return require_ground(because, "--because")
