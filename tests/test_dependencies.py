"""Supply chain: the page tells of every direct dependency, and nothing unlooked at passes."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from reengage.cli import supply
from reengage.cli.dependencies import dependencies_markdown, direct, licence_of
from reengage.errors import ConfigurationError
from reengage.settings import HOME

SOUND = {"name": "a", "version": "1", "vulns": []}
KNOWN = {
    "name": "b", "version": "2",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3"], "aliases": ["GHSA-1"]}],
}  # fmt: skip
TODAY = date(2026, 6, 1)
UNSEEN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def index() -> Iterator[str]:
    """A server that has one page, as pypi.org has one for each package."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if "/pip/" in self.path else 404)
            self.end_headers()
            self.wfile.write(b'{"vulnerabilities": []}' if "25.0" in self.path else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_line_of_the_requirements_is_on_the_page_with_its_reason() -> None:
    page = (HOME / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert page == dependencies_markdown(HOME)
    lines = (HOME / "requirements.in").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(direct(HOME)) == len(named)
    for line in named:
        name, reason = re.split(r"[\[<>= ]", line, maxsplit=1)[0], line.partition("#")[2].strip()
        assert re.search(rf"^\| {re.escape(name)} \| [0-9][^|]* \| [^|]+ \| ", page, re.MULTILINE)
        assert reason.replace("|", "\\|") in page


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rich", "rich has no reason"),
        ("nosuchthing # because", "does not lock nosuchthing"),
    ],
)
def test_a_dependency_without_a_reason_or_a_lock_is_refused(
    tmp_path: Path, line: str, told: str
) -> None:
    (tmp_path / "requirements.in").write_text(f"{line}\n", encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("rich==15.0.0 \\\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        direct(tmp_path)


def test_versions_that_differ_by_python_are_all_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.in").write_text("rich # tables\n", encoding="utf-8")
    locked = (
        "rich==14.0.0 ; python_version < '3.12' \\\nrich==15.0.0 ; python_version >= '3.12' \\\n"
    )
    (tmp_path / "requirements.txt").write_text(locked, encoding="utf-8")
    assert direct(tmp_path)[0].version == "14.0.0, 15.0.0"


def test_a_licence_is_the_expression_else_what_is_clear() -> None:
    assert licence_of("psycopg") == "LGPL-3.0-only"
    assert licence_of("hvac") == "Apache-2.0"
    with pytest.raises(ConfigurationError, match="is not installed"):
        licence_of("no-such-package")


def test_a_vulnerability_and_a_package_that_was_not_looked_at_are_faults() -> None:
    assert supply.audited({"dependencies": [SOUND]}, (), TODAY) == (
        ["1 packages, none with a known vulnerability"], 0,
    )  # fmt: skip
    assert supply.audited({"dependencies": [SOUND, KNOWN]}, (), TODAY) == (
        ["b 2: CVE-1, mended in 3"], 1,
    )  # fmt: skip
    lines, status = supply.audited({"dependencies": [SOUND, UNSEEN]}, (), TODAY)
    assert (status, lines) == (1, ["c: not looked at (Dependency not found on PyPI)"])


@pytest.mark.parametrize(
    ("package", "advisory", "until", "status"),
    [
        ("b", "CVE-1", TODAY, 0),
        ("b", "GHSA-1", TODAY, 0),
        ("b", "CVE-1", TODAY - timedelta(days=1), 1),  # its day is over
        ("b", "CVE-1", TODAY + timedelta(days=181), 1),  # nobody accepts for good
        ("b", "CVE-2", TODAY, 1),
        ("a", "CVE-1", TODAY, 1),
    ],
)
def test_what_somebody_accepted_is_told_and_lets_it_pass_until_its_day(
    package: str, advisory: str, until: date, status: int
) -> None:
    one = supply.Accepted(
        package=package, advisory=advisory, until=until, because="never called here"
    )
    lines, ended = supply.audited({"dependencies": [SOUND, KNOWN]}, [one], TODAY)
    assert ended == status
    [line] = lines
    assert line.startswith("b 2: CVE-1, mended in 3")
    assert line.endswith("never called here") is (status == 0)
    unseen = supply.audited({"dependencies": [KNOWN, UNSEEN]}, [one], TODAY)
    assert unseen[1] == 1


def test_what_is_accepted_has_a_reason_and_a_day(tmp_path: Path) -> None:
    assert supply.accepted() is not None  # the file itself is sound
    (tmp_path / supply.ACCEPTED).write_text(
        "accepted:\n  - {advisory: CVE-1, package: b, until: 2026-12-31}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match="because"):
        supply.accepted(tmp_path)


def test_ci_looks_at_the_packages_and_drills_the_restore() -> None:
    """As docs/dependencies.md and docs/backup.md say."""
    ci = (HOME / ".ci" / "run").read_text(encoding="utf-8")
    made = {
        target for line in re.findall(r"^make (.+)$", ci, re.MULTILINE) for target in line.split()
    }
    assert {"lint", "test", "sbom", "audit-deps", "drill", "long", "run"} <= made


def test_where_the_index_does_not_answer_it_is_skipped_and_says_so(
    index: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert supply.reachable(f"{index}/pypi/pip/25.0/json") == 0
    assert supply.reachable(f"{index}/pypi/pip/json") == 1  # a page without what is asked for
    assert supply.reachable(f"{index}/pypi/other/1.0/json") == 1
    assert "skipped: pypi.org's JSON API" in capsys.readouterr().err


def test_licences_of_a_bill_of_materials_are_counted() -> None:
    said = {"components": [
        {"name": "a", "version": "1", "licenses": [{"license": {"id": "MIT"}}]},
        {"name": "B", "version": "2", "licenses": [{"license": {"id": "MIT"}}]},
        {"name": "c", "version": "3", "licenses": [{"expression": "Apache-2.0"}]},
        {"name": "d", "version": "4", "licenses": [{"license": {"name": "x" * 500}}]},
    ]}  # fmt: skip
    assert supply.licences(said) == [
        "   2  MIT: a 1, B 2", "   1  Apache-2.0: c 3", "   1  not stated: d 4",
    ]  # fmt: skip
