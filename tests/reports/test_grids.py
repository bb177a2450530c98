"""Grids: the markup of cells."""

from __future__ import annotations

import pytest
from reengage.reports.grids import markup
from reengage.reports.tables import Column, Table


@pytest.mark.parametrize(
    ("value", "whole"),
    [("authorization_incomplete", True), ("a" * 40, True), ("a" * 41, False), ("f" * 64, False)],
)
def test_a_code_stays_on_one_line_and_a_digest_need_not(value: str, whole: bool) -> None:
    table = Table("t", "T", [Column("code", "Code", "code")], [[value]])
    kind = ' class="short"' if whole else ""
    assert f"<code{kind}>{value}</code>" in markup(table, "", "", {})
