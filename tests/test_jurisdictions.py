"""Jurisdictions (PRV-33): what counsel decided, strictly read; no rule, or an old one, is a no."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from reengage.errors import ConfigurationError
from reengage.jurisdictions import load_jurisdictions
from reengage.settings import HOME

RULE = """\
  - state: NE
    category: hiv
    decision: allow
    citation: a section of a law
    reviewer: counsel
    reviewed_on: 2025-01-01
    review_due: 2025-12-31
"""


def table(tmp_path: Path, *rules: str) -> Path:
    path = tmp_path / "jurisdictions.yaml"
    path.write_text("rules:\n" + "".join(rules) if rules else "rules: []\n", encoding="utf-8")
    return path


def test_the_table_that_is_shipped_decides_nothing() -> None:
    assert load_jurisdictions(HOME / "jurisdictions.yaml").rules == ()


@pytest.mark.parametrize(
    ("day", "holds"),
    [
        (date(2024, 12, 31), False), (date(2025, 1, 1), True),
        (date(2025, 12, 31), True), (date(2026, 1, 1), False),
    ],
)  # fmt: skip
def test_a_rule_holds_from_its_review_to_the_day_the_next_is_due(
    day: date, holds: bool, tmp_path: Path
) -> None:
    found = load_jurisdictions(
        table(tmp_path, RULE, RULE.replace("hiv", "genetics").replace("allow", "deny"))
    )
    assert found.categories("allow", day) == (["NE/hiv"] if holds else [])
    assert found.categories("deny", day) == (["NE/genetics"] if holds else [])


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((RULE, RULE), "two rules for NE and hiv"),
        ((RULE.replace("NE", "Nebraska"),), "two capitals"),
        ((RULE.replace("allow", "perhaps"),), "decision"),
        ((RULE.replace("    reviewer: counsel\n", ""),), "reviewer"),
        ((RULE.replace("2025-12-31", "2024-12-31"),), "review_due lies before reviewed_on"),
        ((RULE + "    note: x\n",), "note"),
    ],
)
def test_what_is_unsound_is_refused_by_file_and_line(
    rules: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"jurisdictions\.yaml:\d+") as refused:
        load_jurisdictions(table(tmp_path, *rules))
    assert said in str(refused.value)
