"""Supply: what the tools that look at the packages found, told so that nothing passes unseen.

python -m reengage.cli.supply reachable        0 = pypi.org answers for a package, 1 = it does not
python -m reengage.cli.supply audited < JSON   pip-audit's; 1 = a vulnerability, or one unlooked at
python -m reengage.cli.supply licences < SBOM  CycloneDX's, as a table

pip-audit calls a package that it could not look up skipped, and ends with 0: here that is a fault.
So is a known vulnerability, until somebody writes into requirements-accepted.yaml why it may stay
and until when; it is told then, too.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from reengage.settings import HOME
from reengage.yamlfile import load_yaml_model

ACCEPTED = "requirements-accepted.yaml"
LONGEST = timedelta(days=180)
"""How far ahead somebody may accept: nobody accepts for good."""
ASKED = "https://pypi.org/pypi/pip/25.0/json"
"""As pip-audit asks: a mirror may have the package's page and not the version's."""
SECONDS = 10


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accepted(_Strict):
    """One vulnerability that may stay for a while."""

    advisory: str = Field(
        min_length=3, description="as audit-deps tells it, or another of its names"
    )
    package: str = Field(min_length=1, description="the package that has it")
    because: str = Field(
        min_length=10, description="why it does no harm here, or what is waited for"
    )
    until: date = Field(description="the last day on which it may")

    def holds(self, package: str, names: Sequence[str], today: date) -> bool:
        """Whether it is this one's, and its day is neither over nor beyond what may be said."""
        named = self.package == package and self.advisory in names
        return named and today <= self.until <= today + LONGEST


class Acceptances(_Strict):
    """What is in requirements-accepted.yaml."""

    accepted: tuple[Accepted, ...] = Field(description="one per vulnerability")


def main(arguments: Sequence[str]) -> int:
    """Run one of them."""
    if list(arguments) == ["reachable"]:
        return reachable()
    said = json.load(sys.stdin)
    if list(arguments) == ["audited"]:
        lines, status = audited(said, accepted(), datetime.now(UTC).date())
    else:
        lines, status = licences(said), 0
    print("\n".join(lines))
    return status


def accepted(home: Path = HOME) -> tuple[Accepted, ...]:
    """What somebody accepted. Raises FileError naming line and fix."""
    return load_yaml_model(home / ACCEPTED, Acceptances).accepted


def reachable(url: str = ASKED) -> int:
    """0 where the index answers as pip-audit asks it."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - https
            if "vulnerabilities" not in json.load(answer):
                raise ValueError
    except (OSError, ValueError) as error:
        print(
            "skipped: pypi.org's JSON API, which knows of vulnerabilities, does not answer here"
            f" ({type(error).__name__}); run it where it does",
            file=sys.stderr,
        )
        return 1
    return 0


def audited(
    said: Mapping[str, Any], accepted: Sequence[Accepted], today: date
) -> tuple[list[str], int]:
    """A line for each finding, and the exit status: 1 where any is not accepted."""
    packages = said["dependencies"]
    known = list(_known(packages, accepted, today))
    unseen = [
        f"{one['name']}: not looked at ({one['skip_reason']})"
        for one in packages
        if one.get("skip_reason")
    ]
    lines = [
        f"{line}; accepted until {one.until}: {one.because}" if one else line for line, one in known
    ] + unseen
    if not lines:
        return [f"{len(packages)} packages, none with a known vulnerability"], 0
    return lines, int(bool(unseen) or any(one is None for _, one in known))


def _known(
    packages: Sequence[Mapping[str, Any]], accepted: Sequence[Accepted], today: date
) -> Iterator[tuple[str, Accepted | None]]:
    """Each known vulnerability, and what lets it stay."""
    for package in packages:
        for found in package.get("vulns", []):
            names = [found["id"], *found.get("aliases", [])]
            mended = ", ".join(found.get("fix_versions") or ["no version yet"])
            yield (
                f"{package['name']} {package['version']}: {found['id']}, mended in {mended}",
                next((o for o in accepted if o.holds(package["name"], names, today)), None),
            )


def licences(said: dict[str, Any]) -> list[str]:
    """Licence -> packages, the most frequent first."""
    found: dict[str, list[str]] = {}
    for one in said.get("components", []):
        found.setdefault(_licence(one), []).append(f"{one['name']} {one['version']}")
    counts = Counter({licence: len(names) for licence, names in found.items()})
    return [
        f"{count:4}  {licence}: {', '.join(sorted(found[licence], key=str.lower))}"
        for licence, count in counts.most_common()
    ]


def _licence(component: dict[str, Any]) -> str:
    for one in component.get("licenses", []):
        if expression := one.get("expression"):
            return str(expression)
        inner = one.get("license", {})
        if (name := inner.get("id") or inner.get("name")) and len(name) < 60:  # not a whole text
            return str(name)
    return "not stated"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
