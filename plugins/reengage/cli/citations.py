"""Citations: where rule ids stand in suites, code and tests.

A range, two ids with `to` between them, cites each rule in it. A test is told by file and function:
an id within a test function, or in the comment right above it, is that test's; one in a table or a
helper belongs to the tests that use it; else it is the file's. No line numbers: they would be stale
after any edit.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from reengage.errors import ConfigurationError

_ID = re.compile(
    r"\b(?!AES-|SHA-|UTF-)([A-Z]{3})-(\d{1,3})\b"
    r"(?:\s+(?:#\s*|--\s*)?to\s+(?:#\s*|--\s*)?\1-(\d{1,3})\b)?"
)
"""Also what only looks like an id: a mistyped one has to be found, too."""
_CODE = ("plugins", "dags", "sql", "campaigns", "templates")
_CODE_ENDS = {".py", ".sql", ".yaml", ".mjml", ".txt"}


@dataclass
class Citations:
    """Rule id -> where it is cited. Paths are relative to the home."""

    expectations: dict[str, list[str]] = field(default_factory=dict)
    code: dict[str, list[str]] = field(default_factory=dict)
    tests: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """By file; the functions, or none where only the file as a whole cites the rule."""
    checks: int = 0
    """How many expectations there are."""


def cited_in(text: str) -> set[str]:
    """The rules that a text cites."""
    found: set[str] = set()
    for family, first, last in _ID.findall(text):
        found.add(f"{family}-{first}")
        if last:
            found |= {f"{family}-{n:02}" for n in range(int(first), int(last))} | {
                f"{family}-{last}"
            }
    return found


def read_citations(home: Path) -> Citations:
    """All of them, below `home`; folders that are not there cite nothing."""
    found = Citations()
    for path in sorted((home / "expectations").glob("*.json")):
        _read_suite(found, path)
    for path in _code_files(home):
        for rule in cited_in(path.read_text(encoding="utf-8")):
            found.code.setdefault(rule, []).append(str(path.relative_to(home)))
    for path in sorted((home / "tests").rglob("test_*.py")):
        for rule, functions in citing_tests(path.read_text(encoding="utf-8")).items():
            found.tests.setdefault(rule, {})[str(path.relative_to(home))] = functions
    return found


def _read_suite(found: Citations, path: Path) -> None:
    try:
        expectations = json.loads(path.read_text(encoding="utf-8"))["expectations"]
        for one in expectations:
            column = one["kwargs"].get("column")
            shown = f"{path.stem}: {one['type']}" + (f" on {column}" if column else "")
            found.checks += 1
            for rule in one["meta"]["rules"]:
                shows = found.expectations.setdefault(str(rule), [])
                if shown not in shows:
                    shows.append(shown)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ConfigurationError(
            f"expectations/{path.name} is no suite whose expectations have type, kwargs and"
            " meta.rules; mend it"
        ) from None


def _code_files(home: Path) -> list[Path]:
    files = [path for folder in _CODE for path in (home / folder).rglob("*")]
    return sorted(
        path
        for path in [*files, *home.glob("*.yaml")]
        if path.suffix in _CODE_ENDS and path.is_file() and "__pycache__" not in path.parts
    )


def citing_tests(source: str) -> dict[str, list[str]]:
    """Rule -> the tests of this file that cite it, in their order; none for the file as a whole."""
    if not cited_in(source):
        return {}  # two files in five; parsing takes twenty times as long
    lines = source.splitlines()
    body = ast.parse(source).body
    users = _users(body)
    found: dict[str, list[str]] = {}
    covered = [False] * len(lines)
    for node in body:
        first, last = _span(node, lines)
        if not (owners := _owners(node, users)):
            continue
        covered[first:last] = [True] * (last - first)
        for rule in cited_in("\n".join(lines[first:last])):
            found.setdefault(rule, []).extend(owners)
    rest = "\n".join(line for line, taken in zip(lines, covered, strict=True) if not taken)
    for rule in cited_in(rest):
        found.setdefault(rule, [])
    order = [name for node in body for name in _test_names(node)]
    return {rule: sorted(set(tests), key=order.index) for rule, tests in found.items()}


def _span(node: ast.stmt, lines: list[str]) -> tuple[int, int]:
    """The node's lines with its decorators and the comment right above, as a slice."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)]) - 1
    while first and lines[first - 1].startswith("#") and not lines[first - 1].startswith("# ---"):
        first -= 1
    return first, node.end_lineno or node.lineno


def _test_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
        return [node.name]
    return []


def _defined(node: ast.stmt) -> set[str]:
    """Names of the table or helper that a statement makes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {
        name.id
        for target in targets
        if target
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }


def _users(body: list[ast.stmt]) -> dict[str, list[str]]:
    """Name -> the tests that use it, by way of other tables and helpers, too."""
    uses = [(_test_names(node), _defined(node), _used(node)) for node in body]
    users: dict[str, list[str]] = {}

    def note(names: set[str], test: str, seen: set[str]) -> None:
        for name in names - seen:
            seen.add(name)
            users.setdefault(name, []).append(test)
            for _, defined, used in uses:
                if name in defined:
                    note(used, test, seen)

    for tests, _, used in uses:
        for test in tests:
            note(used, test, {test})
    return users


def _used(node: ast.stmt) -> set[str]:
    """Names in a statement, and its parameters, which fixtures are used by."""
    used = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            used.add(one.id)
        elif isinstance(one, ast.arg):
            used.add(one.arg)
    return used


def _owners(node: ast.stmt, users: dict[str, list[str]]) -> list[str]:
    return _test_names(node) or [test for name in _defined(node) for test in users.get(name, [])]
