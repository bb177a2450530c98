"""Tidy: removes what Airflow logged, once it is as old as docs/retention.md says.

Airflow removes no log file of its own, and its dag-processor writes some ten megabytes a day about
files that did not change. Needs the directory and nothing else: no network, no database, no key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reengage.retention.table import kept

PARSING = "dag_processor"
"""Directory below it into which the dag-processor writes."""


def tidy(logs: Path, now: datetime) -> int:
    """Remove the files below `logs` whose time is over, and empty directories; how many files."""
    gone = 0
    for path in _below(logs):
        parsing = path.is_relative_to(logs / PARSING)
        term = timedelta(days=kept("parsing_logs" if parsing else "airflow_logs").term.days)
        if path.is_symlink() or _written(path) >= now - term:
            continue
        if path.is_dir():
            _remove_if_empty(path)
        else:
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _below(directory: Path) -> Iterator[Path]:
    """Everything in it, what lies deepest first; through no link."""
    for path in sorted(directory.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        yield path


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)


def _remove_if_empty(directory: Path) -> None:
    with suppress(OSError):  # something is in it, or was put there at this moment
        directory.rmdir()


def main(arguments: list[str]) -> int:
    """Tidy the directory; the process's exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m reengage.deploy.tidy DIRECTORY\n")
        return 2
    gone = tidy(Path(arguments[0]), datetime.now(UTC))
    sys.stdout.write(f"{gone} log files removed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
