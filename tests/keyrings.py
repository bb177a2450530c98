"""Keyrings of the tests: one with a fixed key, and many hands at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from reengage.keys.info import KeyInfo, check_of

T = TypeVar("T")


def set_key(keyring: Path, secret: bytes, purpose: str = "pseudonym", number: int = 1) -> None:
    """Put this secret in the place of a key, as if it had been made there."""
    info = KeyInfo(purpose, number, datetime(2025, 1, 1, tzinfo=UTC), check_of(purpose, secret))
    folder = keyring / purpose
    (folder / f"{info.stem}.key").write_bytes(secret)
    (folder / f"{info.stem}.info").write_text(info.text, encoding="utf-8")


def together(make: Callable[[int], T], makers: int = 8) -> list[T]:
    """What so many makers give that begin at the same moment."""
    barrier = Barrier(makers)

    def one(number: int) -> T:
        barrier.wait()
        return make(number)

    with ThreadPoolExecutor(makers) as pool:
        return list(pool.map(one, range(makers)))
