"""Approvals: a live run works by what a person approved in exactly this state, and by nothing else.

PRV-09 and SEC-15: who, why and the digest are in the ledger. Nothing is approved by a timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from approving import answered, records
from daily import Practice, approve_all
from reengage import sql
from reengage.embedded import installation
from reengage.errors import RefusedError
from reengage.keys import open_keyring
from reengage.pipeline import approvals, configuration
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.pipeline.letter import write_letters
from reengage.pipeline.plan import plan
from reengage.pipeline.preflight import preflight
from reengage.pipeline.question import NOBODY, UnapprovedError
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.store import connect
from world import DAY

CAMPAIGN = "health_education"
OTHER = "appointment_reminder"
DAY_OF_ROOMS: dict[str, Callable[..., object]] = {
    "preflight": preflight, "extract": extract, "gate": gate, "plan": plan,
    "letter": write_letters, "check_letters": check_letters, "send": send,
}  # fmt: skip
CHUNKED = ("letter", "check_letters", "send")
COUNTED = {"sql/outcomes/enrol.sql", "sql/outcomes/forget_undrawn.sql"}
"""Read by `plan`, and nobody is written to by them."""


def begin(practice: Practice, campaign: str = CAMPAIGN, *, dry: bool = False) -> Run:
    return preflight(practice.settings, campaign, uuid4(), "manual__test", dry=dry)


def asked(practice: Practice, campaign: str = CAMPAIGN) -> dict[str, str]:
    """What preflight asks about."""
    with pytest.raises(UnapprovedError) as raised:
        begin(practice, campaign)
    return dict(raised.value.question.things)


def change(practice: Practice, name: str) -> Path:
    path = practice.settings.home / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (f"templates/{CAMPAIGN}/en/body.txt", f"template/{CAMPAIGN}"),
        ("templates/base/footer.en.txt", "template/shared"),
        ("expectations/batch.json", "suite/batch"),
        (f"sql/extract/{CAMPAIGN}.sql", f"sql/extract/{CAMPAIGN}.sql"),
        ("sql/outbox/claim.sql", "sql/outbox/claim.sql"),
        ("sql/approvals/cohorts.sql", "sql/approvals/cohorts.sql"),
        (f"campaigns/{CAMPAIGN}.yaml", f"campaign/{CAMPAIGN}"),
        ("jurisdictions.yaml", "jurisdictions"),
    ],
)
def test_the_first_run_of_a_change_asks_about_it_and_nothing_else(
    file: str, name: str, practice: Practice
) -> None:
    approve_all(practice.settings, CAMPAIGN)
    begin(practice)
    path = change(practice, file)
    assert list(asked(practice)) == [name]
    assert practice.rows("SELECT FROM run WHERE dag_run_id = 'manual__x'") == []
    answered(practice, asked(practice))
    begin(practice)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert list(asked(practice)) == [name]  # another digest, another approval
    path.write_text(path.read_text(encoding="utf-8")[:-1], encoding="utf-8")
    begin(practice)  # what was approved once is approved


def test_another_campaigns_files_are_none_of_this_ones_business(practice: Practice) -> None:
    approve_all(practice.settings, CAMPAIGN)
    for name in (f"templates/{OTHER}/en/body.txt", f"sql/extract/{OTHER}.sql"):
        change(practice, name)
    begin(practice)


def test_an_audience_that_is_named_after_another_campaign_is_asked_about(
    practice: Practice,
) -> None:
    file = practice.settings.home / "campaigns" / f"{CAMPAIGN}.yaml"
    told = file.read_text(encoding="utf-8").replace(f"{CAMPAIGN}.sql", f"{OTHER}.sql")
    file.write_text(told, encoding="utf-8")
    approve_all(practice.settings, CAMPAIGN)
    change(practice, f"sql/extract/{OTHER}.sql")
    assert list(asked(practice)) == [f"sql/extract/{OTHER}.sql"]


def test_a_dry_run_and_a_replay_need_no_approval(practice: Practice) -> None:
    assert begin(practice, dry=True).mode == "dry"
    past = preflight(practice.settings, CAMPAIGN, uuid4(), "m", day=DAY - timedelta(days=3))
    assert past.mode == "replay"


def test_an_answer_is_a_row_and_a_record_with_name_reason_and_digest(practice: Practice) -> None:
    approve_all(practice.settings, CAMPAIGN)
    change(practice, f"templates/{CAMPAIGN}/en/body.txt")
    things, run_id = asked(practice), uuid4()
    approvals.answer(
        practice.settings, things, "approved", by="olga", reason="read it aloud", run_id=run_id
    )
    [row] = practice.rows(
        "SELECT subject, sha256, decision, decided_by, reason, run_id FROM approval"
        " WHERE decided_by = 'olga'"
    )
    [(name, sha256)] = things.items()
    assert row == {
        "subject": name, "sha256": sha256, "decision": "approved", "decided_by": "olga",
        "reason": "read it aloud", "run_id": run_id,
    }  # fmt: skip
    record = records(practice)[-1]
    assert (record["actor"], record["action"], record["of"]) == ("olga", "approved", "approvals")
    assert record["detail"] == {
        "sha256": things, "reason": "read it aloud", "run": str(run_id)
    }  # fmt: skip


def test_a_no_ends_the_run_is_on_record_and_is_asked_about_again(practice: Practice) -> None:
    approve_all(practice.settings, CAMPAIGN)
    change(practice, f"templates/{CAMPAIGN}/en/body.txt")
    with pytest.raises(RefusedError, match="olga said no: read it"):
        answered(practice, asked(practice), "rejected")
    assert records(practice)[-1]["action"] == "rejected"
    assert list(asked(practice)) == [f"template/{CAMPAIGN}"]
    with pytest.raises(RefusedError, match="nobody answered in time"):
        approvals.answer(
            practice.settings, asked(practice), "rejected",
            by=NOBODY, reason="none", run_id=uuid4(),
        )  # fmt: skip


def test_a_question_that_nobody_answered_takes_back_no_approval_given_elsewhere(
    practice: Practice,
) -> None:
    """Two campaigns ask about one shared template; somebody answers one of them."""
    approve_all(practice.settings, CAMPAIGN)
    change(practice, "templates/base/footer.en.txt")
    things = asked(practice)
    answered(practice, things)
    with pytest.raises(RefusedError, match="nobody answered in time"):
        approvals.answer(
            practice.settings, things, "rejected", by=NOBODY, reason="none", run_id=uuid4()
        )
    assert (records(practice)[-1]["actor"], records(practice)[-1]["action"]) == (NOBODY, "rejected")
    begin(practice)


def test_a_later_no_takes_an_approval_back(practice: Practice) -> None:
    approve_all(practice.settings, CAMPAIGN)
    run = begin(practice)
    [found] = practice.rows("SELECT subject, sha256 FROM approval WHERE subject = 'suite/batch'")
    with pytest.raises(RefusedError):
        answered(practice, {str(found["subject"]): str(found["sha256"])}, "rejected")
    assert list(asked(practice)) == ["suite/batch"]
    with pytest.raises(UnapprovedError):
        approvals.require_approved(run, "gate")


READ = ["preflight", "extract", "gate", "plan", "letter", "send"]
"""Tasks that ask the databases."""


@pytest.mark.parametrize(
    ("file", "tasks"),
    [
        (f"templates/{CAMPAIGN}/en/body.txt", ["preflight", "letter"]),
        ("expectations/letters.json", ["preflight", "gate", "check_letters", "send"]),
        ("sql/outbox/wishes.sql", READ),  # which address a letter goes to
        ("sql/contract/contact.yaml", READ),
        ("jurisdictions.yaml", ["preflight", "extract", "gate"]),
        (f"campaigns/{CAMPAIGN}.yaml", sorted(approvals.WORKS_BY)),
    ],
)
def test_what_changes_in_the_middle_of_a_run_stops_the_tasks_that_work_by_it(
    file: str, tasks: list[str], practice: Practice
) -> None:
    run = practice.open(CAMPAIGN)
    change(practice, file)

    def stopped(task: str) -> bool:
        try:
            approvals.require_approved(run, task)
        except UnapprovedError:
            return True
        return False

    assert sorted(filter(stopped, approvals.WORKS_BY)) == sorted(tasks)


def test_every_statement_that_a_task_reads_is_one_that_it_is_held_to(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file changed after preflight and put back before `send` would be worked by unseen."""
    practice.world.patient("p0")
    approve_all(practice.settings, OTHER)
    read: dict[str, set[str]] = {}
    sql.load_sql.cache_clear()
    monkeypatch.setattr(sql, "_load", lambda *said, f=sql._load: seen.add(said[1]) or f(*said))
    for task, room in DAY_OF_ROOMS.items():
        seen = read.setdefault(task, set())
        sql.load_sql.cache_clear()
        if task == "preflight":
            run = begin(practice, OTHER)
        elif task == "plan":
            chunks = plan(run)
        else:
            room(run, chunks[0]) if task in CHUNKED else room(run)
    assert {"extract", "gate", "send"} <= {task for task, names in read.items() if names}
    judged = configuration.judged_parts(practice.settings.home, run.campaign, portal=True)
    for task, names in read.items():
        held = {n for n in judged if n.startswith(approvals.WORKS_BY[task])}
        assert {f"sql/{name}" for name in names} - COUNTED <= held, task


def test_a_changed_question_about_approvals_cannot_approve_itself(practice: Practice) -> None:
    """What decides about files is none of the files that it decides about."""
    approve_all(practice.settings, CAMPAIGN)
    yes = (
        "SELECT subject, true AS approved, NULL AS last_approved"
        " FROM unnest(CAST(:names AS text[]), CAST(:digests AS text[])) AS a (subject, d)"
    )
    for file in (practice.settings.home / "sql" / "approvals").glob("*.sql"):
        file.write_text(yes, encoding="utf-8")
    (practice.settings.home / "sql" / "approvals" / "known.sql").write_text(yes, encoding="utf-8")
    change(practice, f"templates/{CAMPAIGN}/en/body.txt")
    assert f"template/{CAMPAIGN}" in asked(practice)
    assert "sql/approvals/known.sql" in asked(practice)


def test_the_question_tells_what_changed_and_waits_until_the_day_is_over(
    practice: Practice,
) -> None:
    approve_all(practice.settings, CAMPAIGN)
    change(practice, f"templates/{CAMPAIGN}/en/body.txt")
    with pytest.raises(UnapprovedError) as raised:
        begin(practice)
    question = raised.value.question
    [(name, sha256)] = question.things.items()
    assert f"| {name} | changed | {sha256[:12]} | not committed |" in question.body
    assert question.patience == timedelta(hours=12)  # noon to midnight in Chicago
    assert question.subject.endswith("2025-06-02: 1 changed. Send by it?")
    assert str(raised.value).startswith(f"nobody has approved template/{CAMPAIGN}; answer under")


def test_of_an_installation_that_is_new_everything_is_approved_once_and_on_record(
    practice: Practice,
) -> None:
    settings = practice.settings
    engine, keyring = connect(settings.store_url), open_keyring(settings.keyring)
    assert installation.approve(engine, settings.home, keyring) > 30
    for campaign in (CAMPAIGN, OTHER, "medication_reminder"):
        begin(practice, campaign)
    [record] = records(practice)
    assert (record["action"], record["of"]) == ("approved", "approvals")
    change(practice, f"templates/{CAMPAIGN}/en/body.txt")
    assert installation.approve(engine, settings.home, keyring) == 0
    assert list(asked(practice)) == [f"template/{CAMPAIGN}"]


def test_tasks_may_add_decisions_and_change_none(practice: Practice) -> None:
    [row] = practice.rows(
        "SELECT has_table_privilege('reengage_tasks', 'approval', 'INSERT') AS add,"
        " has_table_privilege('reengage_tasks', 'approval', 'UPDATE') AS change,"
        " has_table_privilege('reengage_tasks', 'approval', 'DELETE') AS remove"
    )
    assert row == {"add": True, "change": False, "remove": False}
