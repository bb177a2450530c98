"""The contract: documented once, column by column, and read from there by everyone."""

from __future__ import annotations

from pathlib import Path

import pytest
from reengage.contract import load_contract, render_markdown
from reengage.errors import ConfigurationError
from reengage.settings import HOME

VIEWS = {
    "patient", "contact", "representative", "visit", "appointment", "medication", "authorization",
    "restriction", "opt_out", "programme", "load",
}  # fmt: skip


VISIT = """\
view: visit
description: Encounters.
columns:
  visit_key: {type: text, nullable: false, description: "the source's key"}
"""


def spoiled(tmp_path: Path, old: str, new: str) -> Path:
    assert old in VISIT
    path = tmp_path / "sql" / "contract" / "visit.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(VISIT.replace(old, new, 1), encoding="utf-8")
    return tmp_path


def test_it_has_the_views_that_the_design_names() -> None:
    assert {view.name for view in load_contract(HOME).views} == VIEWS


def test_every_column_says_what_it_holds() -> None:
    columns = [column for view in load_contract(HOME).views for column in view.columns]
    assert [f"{c.view}.{c.name}" for c in columns if len(c.description) < 5] == []
    assert len({f"{c.view}.{c.name}" for c in columns}) == len(columns)


def test_a_column_is_found_by_its_full_name() -> None:
    column = load_contract(HOME).column("appointment.start_at")
    assert (column.view, column.name, column.nullable) == ("appointment", "start_at", False)
    assert column.type == "timestamp with time zone"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("appointment.when", "view 'appointment' has no column 'when'; it has appointment_key"),
        ("appointments.start_at", "the contract has no view 'appointments'; it has appointment,"),
        ("start_at", "the contract has no view 'start_at'"),
        ("appointment.", "view 'appointment' has no column ''"),
        ("", "the contract has no view ''"),
        ("appointment.start_at.x", "has no column 'start_at.x'"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_what_is(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_contract(HOME).column(name)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("type: text", "type: txt", "sql/contract/visit.yaml:4: columns.visit_key.type: input sho"),
        (
            "nullable: false",
            "null: false",
            "visit.yaml:4: key 'null' is not a plain word; write a name",
        ),
        ("visit_key:", "'visit\" key':", 'sql/contract/visit.yaml:4: columns.visit" key: string s'),
        ("view: visit", "view: visits", "visit.yaml:1: view 'visits' differs from the file's name"),
        ("view: visit", "view: 'visit\"; --'", "sql/contract/visit.yaml:1: view: string should ma"),
        ("columns:", "columns: {}\nx:", "columns: dictionary should have at least 1 item"),
    ],
)
def test_a_fault_of_its_files_is_told_with_file_and_line(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_contract(spoiled(tmp_path, old, new))
    assert told in str(error.value)


def test_a_home_without_a_contract_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sql/contract/ holds no view; restore it"):
        load_contract(tmp_path)


def test_the_reference_page_has_a_row_for_every_column() -> None:
    contract = load_contract(HOME)
    page = render_markdown(contract)
    for view in contract.views:
        assert f"\n## {view.name}\n\n{view.description}" in page
        for column in view.columns:
            assert f"| `{column.name}` | {column.type} |" in page
