"""`python -m reengage approvals | approve`: what waits, who decided, and on whose name."""

from __future__ import annotations

import json

import pytest
from daily import Practice
from reengage.cli.main import main
from reengage.ledger.entry import parse

LETTERS = "templates/health_education/en/body.txt"


@pytest.fixture
def told(desk: Practice, capsys: pytest.CaptureFixture[str]) -> str:
    """An installation that was approved, and a template that was changed since."""
    assert main(["approve", "--because", "as delivered"]) == 0
    out = capsys.readouterr().out
    path = desk.settings.home / LETTERS
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return out


def waiting(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["approvals", "--json"]) == 0
    return [one["name"] for one in json.loads(capsys.readouterr().out)["waiting"]]


def test_approving_lists_what_was_approved_and_leaves_nothing_waiting(
    told: str, desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "approved  template/health_education  " in told
    assert waiting(capsys) == ["template/health_education"]
    assert main(["approve", "--because", "read both languages", "template/health_education"]) == 0
    assert waiting(capsys) == []
    assert main(["approve", "--because", "read both languages"]) == 0
    assert "nothing waits" in capsys.readouterr().out
    assert main(["approvals"]) == 0
    shown = capsys.readouterr().out
    assert "everything that the campaigns work by is approved" in shown
    assert "read both languages" in shown


def test_who_looked_and_who_decided_is_on_record(
    told: str, desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    assert waiting(capsys) == ["template/health_education"]
    assert main(["approve", "--because", "read both languages"]) == 0
    found = desk.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    bodies = [parse(bytes(row["entry"])).body for row in found]  # type: ignore[call-overload]
    assert [(one["action"], one["of"]) for one in bodies] == [
        ("approved", "approvals"), ("opened", "approvals"), ("approved", "approvals"),
    ]  # fmt: skip
    detail = bodies[-1]["detail"]
    assert (bodies[-1]["actor"], detail["reason"]) == ("olga", "read both languages")
    assert list(detail["sha256"]) == ["template/health_education"]
    assert detail["account"].startswith("os:")


RECORDED = (
    ["approve", "--because", "read both languages"],
    ["approvals"],
    ["campaign", "pause", "health_education", "--because", "looked at it"],
    ["opt-out", "--patient", "p-1", "--channel", "phone"],
    ["revoke", "--patient", "p-1", "--channel", "desk"],
    ["purge"],
    ["why", "--patient", "p-1", "--date", "2026-06-01"],
    ["suppressions", "continue", "health_education", "--because", "looked at it"],
    ["keys", "rotate", "wrap"],
    ["restore", "/nowhere"],
)
"""Commands that put something on record: decisions and looks."""


def test_where_all_people_are_one_user_nothing_is_decided_or_shown_without_a_name(
    told: str, desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-03. As in a container; afterwards everything is as it was."""

    def state() -> object:
        files = {path for path in desk.settings.keyring.rglob("*") if path.is_file()}
        tables = ("ledger_entry", "approval", "campaign_pause", "opt_out", "revocation")
        return files, [desk.rows(f"SELECT count(*) FROM {table}") for table in tables]

    monkeypatch.setenv("REENGAGE_ACTOR_REQUIRED", "true")
    before = state()
    for name in ("", "  "):
        monkeypatch.setenv("REENGAGE_ACTOR", name)
        for arguments in RECORDED:
            assert main(arguments) == 1, arguments
            shown = capsys.readouterr()
            assert "nobody is named" in shown.err, arguments
            assert '-e REENGAGE_ACTOR="$USER"' in shown.err
            assert shown.out == "", arguments
            assert state() == before, arguments


def test_with_a_name_it_is_done_in_that_name(
    told: str, desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_ACTOR_REQUIRED", "true")
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    assert main(["approve", "--because", "read both languages"]) == 0
    found = desk.rows("SELECT decided_by FROM approval ORDER BY number DESC LIMIT 1")
    assert found == [{"decided_by": "olga"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--because", "ok"], "--because is kept in the ledger for good"),
        (["--because", "p4711@example.org said so"], "--because is kept in the ledger"),
        (["--because", "read it", "template/nosuch"], "template/nosuch: no such thing waits"),
    ],
)
def test_what_is_no_approval_approves_nothing(
    arguments: list[str], said: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["approve", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert waiting(capsys) == ["template/health_education"]
