"""Supply: what the tools that look at the packages found, told so that nothing passes unseen.

python -m reengage.cli.supply reachable        0 = pypi.org answers for a package, 1 = it does not
python -m reengage.cli.supply audited < JSON   pip-audit's; 1 = a vulnerability, or one unlooked at
python -m reengage.cli.supply licences < SBOM  CycloneDX's, as a table

pip-audit calls a package that it could not look up skipped, and ends with 0: here that is a fault.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Sequence
from typing import Any

ASKED = "https://pypi.org/pypi/pip/25.0/json"
"""As pip-audit asks: a mirror may have the package's page and not the version's."""
SECONDS = 10


def main(arguments: Sequence[str]) -> int:
    """Run one of them."""
    if list(arguments) == ["reachable"]:
        return reachable()
    said = json.load(sys.stdin)
    lines, status = audited(said) if list(arguments) == ["audited"] else (licences(said), 0)
    print("\n".join(lines))
    return status


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


def audited(said: dict[str, Any]) -> tuple[list[str], int]:
    """A line for each finding, and the exit status."""
    packages = said["dependencies"]
    lines = [
        f"{one['name']} {one['version']}: {found['id']}, mended in"
        f" {', '.join(found.get('fix_versions') or ['no version yet'])}"
        for one in packages
        for found in one.get("vulns", [])
    ]
    lines += [
        f"{one['name']}: not looked at ({one['skip_reason']})"
        for one in packages
        if one.get("skip_reason")
    ]
    if not lines:
        return [f"{len(packages)} packages, none with a known vulnerability"], 0
    return lines, 1


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
