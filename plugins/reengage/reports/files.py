"""Files: the campaigns as their files have them, read again only when one of them changed.

A page asks for them each time, and reading them takes fifty milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from reengage.campaigns import Campaign, load_campaigns
from reengage.errors import ConfigurationError

State = tuple[tuple[str, int, int], ...]
"""Name, time of the last change in nanoseconds, and size of each file."""


def campaigns_of(home: Path) -> tuple[list[Campaign], list[ConfigurationError]]:
    """What `load_campaigns` gives, of the files as they are now."""
    found = []
    for path in sorted((home / "campaigns").glob("*.y*ml")):
        told = path.stat()
        found.append((path.name, told.st_mtime_ns, told.st_size))
    sound, broken = _read(home, tuple(found))
    if broken:
        _read.cache_clear()  # what mends it may be another file
    return list(sound), list(broken)


@lru_cache(maxsize=4)
def _read(home: Path, _state: State) -> tuple[list[Campaign], list[ConfigurationError]]:
    return load_campaigns(home)
