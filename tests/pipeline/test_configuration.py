"""What a run works by is recorded when it changes, with who changed it (SEC-16, SEC-19)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daily import Practice
from reengage.pipeline import configuration

CAMPAIGN = "appointment_reminder"
AUTHOR = {"GIT_AUTHOR_NAME": "Ada Reed", "GIT_AUTHOR_EMAIL": "ada@clinic.example",
          "GIT_COMMITTER_NAME": "Merge Bot", "GIT_COMMITTER_EMAIL": "bot@clinic.example",
          "GIT_AUTHOR_DATE": "2025-05-01T12:00:00Z", "GIT_COMMITTER_DATE": "2025-05-01T12:00:00Z",
          "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}  # fmt: skip


def records(practice: Practice) -> list[dict[str, Any]]:
    found = practice.rows(
        "SELECT convert_from(entry, 'UTF8') AS entry FROM ledger_entry"
        " WHERE kind = 'configuration' ORDER BY index"
    )
    return [json.loads(str(row["entry"]))["body"] for row in found]


@pytest.fixture(autouse=True)
def _forget_repositories() -> Iterator[None]:
    configuration._is_repository.cache_clear()
    yield
    configuration._is_repository.cache_clear()


def git(home: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", str(home), *arguments], check=True, env=AUTHOR, capture_output=True
    )


def test_the_first_run_records_every_part_and_the_next_none(practice: Practice) -> None:
    practice.open(CAMPAIGN)
    first = records(practice)
    names = [one["name"] for one in first]
    assert names == sorted(set(names))
    assert {
        f"campaign/{CAMPAIGN}", f"template/{CAMPAIGN}", "template/shared", "suite/batch",
        "suite/cohort", "suite/source", "suite/letters", "vendor/embedded", "practice",
        "jurisdictions", "sql/extract/appointment_reminder.sql", "sql/outbox/claim.sql",
        "sql/gate/cohort.sql",
    } <= set(names)  # fmt: skip
    assert {one["previous"] for one in first} == {None}
    practice.open(CAMPAIGN)
    assert len(records(practice)) == len(first)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (f"campaigns/{CAMPAIGN}.yaml", f"campaign/{CAMPAIGN}"),
        (f"templates/{CAMPAIGN}/en/body.txt", f"template/{CAMPAIGN}"),
        ("sql/extract/parts/standing.sql", "sql/extract/parts/standing.sql"),
        ("practice.yaml", "practice"),
    ],
)
def test_a_change_is_recorded_once_with_what_was_before(
    file: str, name: str, practice: Practice
) -> None:
    practice.open(CAMPAIGN)
    first = {one["name"]: one["sha256"] for one in records(practice)}
    path = practice.settings.home / file
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    practice.open(CAMPAIGN)
    practice.open(CAMPAIGN)
    [changed] = records(practice)[len(first) :]
    assert (changed["name"], changed["previous"]) == (name, first[name])
    assert changed["sha256"] != first[name]
    assert changed["changed_by"] == {"source": "unknown"}


def test_another_agreement_of_the_vendor_is_a_change(practice: Practice) -> None:
    practice.open(CAMPAIGN)
    first = records(practice)
    registry = practice.settings.home / "vendors.yaml"
    text = registry.read_text(encoding="utf-8")
    registry.write_text("# a remark changes nothing\n" + text, encoding="utf-8")
    practice.open(CAMPAIGN)
    assert len(records(practice)) == len(first)
    registry.write_text(text.replace("SAMPLE-0001", "BAA-2025-17"), encoding="utf-8")
    practice.open(CAMPAIGN)
    assert [one["name"] for one in records(practice)[len(first) :]] == ["vendor/embedded"]


def test_the_author_is_gits_and_what_is_not_committed_has_none(practice: Practice) -> None:
    home = practice.settings.home
    git(home, "init", "-q")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "as it is")
    (home / "practice.yaml").write_text(
        (home / "practice.yaml").read_text(encoding="utf-8") + "# not committed\n", encoding="utf-8"
    )
    practice.open(CAMPAIGN)
    found = {one["name"]: one["changed_by"] for one in records(practice)}
    by = found[f"campaign/{CAMPAIGN}"]
    assert (by["source"], by["name"], by["email"]) == ("git", "Ada Reed", "ada@clinic.example")
    assert len(by["commit"]) == 40
    assert found["practice"] == {"source": "unknown"}
