"""docs/dependencies.md: each direct dependency with version, licence and why it is there.

Reasons are requirements.in's own words, versions are the lock's, licences what the installed
package says of itself: its SPDX expression, else its classifier, else its licence field. One that
says nothing is named by hand below, after a look at its licence file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from reengage.errors import ConfigurationError

READ_BY_HAND = {"imapclient": "BSD-3-Clause", "jinja2": "BSD-3-Clause", "dkimpy": "Zlib",
                "numpy": "BSD-3-Clause"}  # fmt: skip
"""Packages whose metadata say nothing clear, or otherwise in each of the locked versions."""
SPDX = {
    "Apache Software License": "Apache-2.0", "MIT License": "MIT", "BSD License": "BSD-3-Clause",
}  # fmt: skip
"""Classifiers, as SPDX calls them; BSD's does not say which of its forms."""
_DIRECT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<rest>[^#]*)#\s*(?P<why>.+)")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)
_SHORT = 40

_HEAD = """# What it is made of

Made by `make fix` from `requirements.in`, the lock and the packages' own metadata; `make lint` \
fails when it is out of date. Every version is locked with hashes, of what a package needs as well \
(`requirements.txt`); nothing else is installed. What only lint and tests need is in \
`requirements-dev.in`, what looks at the packages in `requirements-audit.in`, Kubernetes' schemas \
for `make test-kubernetes` in `requirements-kubernetes.in`, what a log-in by \
[LDAP](people.md#ldap) takes, for images that are built with it, in `requirements-ldap.in`.

```
$ make sbom          # var/sbom.json, CycloneDX, of what production installs, with licences
$ make audit-deps    # known vulnerabilities of every locked package, by pip-audit
```

Both run in CI. `make audit-deps` asks pypi.org for each package, and says that it was skipped \
where pypi.org does not answer: a package that could not be looked up is never taken for sound. A \
known vulnerability ends it with 1, whether or not a change brought it: mend it (`make lock`), or \
write into `requirements-accepted.yaml` why it may stay and until which day, at most 180 days \
ahead; it is told until then.

| package | version | licence | why |
|---|---|---|---|
"""
_TAIL = """
**LGPL**: psycopg and fpdf2 are used as they are, as libraries that a deployment may replace; \
nothing of theirs is copied. text-unidecode, which python-slugify and so Airflow need, is under \
the Artistic Licence or the GPL, as one likes. **OFL**: the font is embedded in PDFs, which its \
licence allows.
"""


@dataclass(frozen=True)
class Dependency:
    """A line of requirements.in."""

    name: str
    why: str
    version: str
    licence: str


def direct(home: Path) -> list[Dependency]:
    """The direct dependencies, by name. Raises ConfigurationError where a line gives no reason, or
    the lock or the licence is missing.
    """
    locked: dict[str, list[str]] = {}  # a version for each Python, where they differ
    for name, version in _LOCKED.findall((home / "requirements.txt").read_text(encoding="utf-8")):
        locked.setdefault(name, []).append(version)
    return sorted(
        (_read(line, locked) for line in _lines(home / "requirements.in")), key=lambda one: one.name
    )


def dependencies_markdown(home: Path) -> str:
    """The page, always the same for the same files and lock."""
    rows = [f"| {one.name} | {one.version} | {one.licence} | {one.why} |" for one in direct(home)]
    return _HEAD + "".join(f"{row}\n" for row in rows) + _TAIL


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def _read(line: str, locked: dict[str, list[str]]) -> Dependency:
    match = _DIRECT.match(line)
    if match is None:
        raise ConfigurationError(
            f"requirements.in: {line.split()[0]} has no reason; write why it is there behind a #"
        )
    name = match["name"]
    versions = locked.get(_normal(name))
    if not versions:
        raise ConfigurationError(f"requirements.txt does not lock {name}; run `make lock`")
    why = match["why"].strip().replace("|", "\\|")
    return Dependency(name, why, ", ".join(versions), licence_of(name))


def licence_of(name: str) -> str:
    """What a package says of its licence. Raises ConfigurationError where it says nothing."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        raise ConfigurationError(f"{name} is not installed; run `make lint` again") from None
    if by_hand := READ_BY_HAND.get(_normal(name)):
        return by_hand
    for expression in said.get_all("License-Expression") or []:
        return str(expression)
    classes = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or []
               if one.startswith("License")]  # fmt: skip
    stated = " ".join(said.get_all("License") or []).strip()
    if known := [SPDX[one] for one in classes if one in SPDX]:
        # The field says which BSD it is, where it is an expression.
        return stated if stated.startswith(f"{known[0].partition('-')[0]}-") else known[0]
    if stated and len(stated) <= _SHORT and "\n" not in stated:
        return stated
    raise ConfigurationError(
        f"{name} says nothing of its licence; look at its licence file and enter it in"
        " cli/dependencies.py"
    )


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
