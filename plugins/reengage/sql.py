"""SQL as prose in files: finds a question by its path below sql/ and binds nothing into its text.

One mechanism for what statements share: a line `-- include: path/below/sql.sql` is replaced by that
file. Values travel as bind parameters only; a name that must stand in the text (a column of the
warehouse contract) is quoted by the caller after it was found in the contract.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from reengage.errors import ConfigurationError

_INCLUDE = re.compile(r"^[ \t]*-- include: (\S+)[ \t]*$", re.MULTILINE)


@lru_cache(maxsize=256)
def load_sql(home: Path, name: str) -> str:
    """The statement in `home/sql/<name>` with its includes resolved, read once a process.

    Raises ConfigurationError when the file, or one that it includes, cannot be had.
    """
    return _load(home, name, ())


def _load(home: Path, name: str, within: tuple[str, ...]) -> str:
    by = f", which sql/{within[-1]} includes," if within else ""
    if name in within or ".." in name or name.startswith("/"):
        raise ConfigurationError(f"sql/{name}{by} includes itself or leaves sql/; mend the name")
    try:
        text = (home / "sql" / name).read_text(encoding="utf-8")
    except OSError:
        raise ConfigurationError(
            f"sql/{name}{by} is missing or unreadable; restore it or mend the name"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"sql/{name} is not UTF-8; save it as UTF-8") from None
    return _INCLUDE.sub(lambda found: _load(home, found.group(1), (*within, name)), text)
