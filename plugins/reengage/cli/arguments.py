"""Arguments that several commands take, read from words."""

from __future__ import annotations

import argparse
from datetime import date


def positive(value: str) -> int:
    """A number of 1 or more. Raises ArgumentTypeError."""
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError("expected a number of 1 or more")
    return int(value)


def day(value: str) -> date:
    """A day like 2026-06-01. Raises ArgumentTypeError."""
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError("write a day as YYYY-MM-DD") from None
