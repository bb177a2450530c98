"""Arguments that several commands take, read from words."""

from __future__ import annotations

import argparse


def positive(value: str) -> int:
    """A number of 1 or more. Raises ArgumentTypeError."""
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError("expected a number of 1 or more")
    return int(value)
