"""A second home: the files that a run reads, copied to be changed, with a `var/` of its own.

For trying a campaign, a suite or a template in a whole run without touching the first home; tests
and benchmarks live in such copies. The library itself is not copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_FOLDERS = ("campaigns", "dags", "expectations", "sql", "templates")
_FILES = (
    "practice.yaml", "vendors.yaml", "jurisdictions.yaml",
    "plugins/.airflowignore", "plugins/reengage_plugin.py",
)  # fmt: skip


def copy_home(home: Path, to: Path) -> Path:
    """Copy `home` to `to`, which must not exist yet; gives `to`."""
    (to / "plugins").mkdir(parents=True)
    for folder in _FOLDERS:
        shutil.copytree(
            home / folder, to / folder, copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )  # fmt: skip
    for file in _FILES:
        shutil.copyfile(home / file, to / file)
    return to
