"""SQL as prose in files: finds a question by its path below sql/ and binds nothing into its text.

One mechanism for what statements share: a line `-- include: path/below/sql.sql` is replaced by that
file. Values travel as bind parameters only; a name that must stand in the text (a column of the
warehouse contract) is quoted by the caller after it was found in the contract.
"""

from __future__ import annotations

import re
from pathlib import Path

from reengage.errors import ConfigurationError

_INCLUDE = re.compile(r"^[ \t]*-- include: (\S+)[ \t]*$", re.MULTILINE)


def load_sql(home: Path, name: str) -> str:
    """The statement in `home/sql/<name>` with its includes resolved.

    Raises ConfigurationError when the file, or one that it includes, is missing.
    """
    path = home / "sql" / name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"sql/{name} is missing; restore it or mend the name") from None
    return _INCLUDE.sub(lambda found: load_sql(home, found.group(1)), text)
