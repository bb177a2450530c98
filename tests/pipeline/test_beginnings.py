"""Beginnings: whatever stops preflight, the store knows that a run began and how that ended.

The operator itself, on a real store; stubs are Airflow's context and its side of a question.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from daily import Practice, approve_all
from reengage.errors import StoreError
from reengage.pipeline import beginnings
from reengage.pipeline.run import derive_run_id
from world import DAY, NOW

CAMPAIGN = "health_education"
DAG, DAG_RUN = f"reengage_{CAMPAIGN}", "scheduled__2025-06-02T14:00:00+00:00"
MORNING = datetime(2025, 6, 2, 14, tzinfo=UTC)
CANARY = "canary.4711@example.org"


class Stage:
    """Airflow around one preflight of a practice."""

    def __init__(self, practice: Practice, patch: pytest.MonkeyPatch) -> None:
        from reengage import operators

        self.practice, self.asked = practice, []
        self.task = operators.PreflightOperator(task_id="preflight", campaign=CAMPAIGN)
        for module in ("operators", "operator_asking", "operator_beginning"):
            patch.setattr(f"reengage.{module}.read_settings", lambda: self.practice.settings)
        patch.setattr("reengage.pipeline.steps.read_settings", lambda: self.practice.settings)
        patch.setattr("reengage.operator_asking.put_question", self._put)
        patch.setattr("reengage.operator_asking.tell_question", lambda *_: None)

    def _put(self, question: dict[str, Any]) -> tuple[str, str]:
        self.asked.append(question)
        return question["subject"], question["body"]

    def context(self, number: int = 1, **params: Any) -> Any:
        ti = SimpleNamespace(
            map_index=None, try_number=number, max_tries=2, id="ti-1", task_id="preflight",
            xcom_push=lambda **_: None,
        )  # fmt: skip
        dag_run = SimpleNamespace(
            dag_id=DAG, run_id=DAG_RUN, run_type="scheduled", logical_date=MORNING,
            run_after=MORNING, clear_number=0,
        )  # fmt: skip
        return {"ti": ti, "dag_run": dag_run, "params": params}

    def run(self, number: int = 1, **params: Any) -> BaseException | None:
        """One try; gives what Airflow is told, None = it did its work."""
        return self._played(lambda: self.task.execute(self.context(number, **params)))

    def answered(self, by: str, chosen: str) -> BaseException | None:
        """The task goes on with an answer; an empty name is nobody's."""
        event = {
            "chosen_options": [chosen], "params_input": {"reason": "read both languages"},
            "responded_by_user": {"id": "2", "name": by} if by else None,
        }  # fmt: skip
        things = self.practice.rows("SELECT things FROM question")[0]["things"]
        kwargs = {"event": event, "things": things}
        return self._played(
            lambda: self.task.resume_execution("execute_complete", kwargs, self.context())
        )

    def _played(self, act: Any) -> BaseException | None:
        try:
            act()
        except BaseException as told:
            return told
        return None

    @property
    def noted(self) -> dict[str, Any]:
        """What the store has of it."""
        [row] = self.practice.rows("SELECT * FROM beginning")
        assert row["run_id"] == derive_run_id(DAG, DAG_RUN)
        assert (row["campaign"], row["dag_run_id"]) == (CAMPAIGN, DAG_RUN)
        return row

    @property
    def ended(self) -> object:
        return self.noted["ended"]

    def opened(self) -> int:
        return len(self.practice.rows("SELECT FROM run"))


@pytest.fixture(scope="module", autouse=True)
def _airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An AIRFLOW_HOME of its own: Airflow reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture
def stage(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Stage:
    approve_all(practice.settings, CAMPAIGN)
    return Stage(practice, monkeypatch)


def change(practice: Practice) -> None:
    path = practice.settings.home / f"templates/{CAMPAIGN}/en/body.txt"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def test_who_passes_is_noted_with_the_run_itself(stage: Stage) -> None:
    assert stage.run() is None
    noted = stage.noted
    assert (noted["ended"], noted["mode"], noted["campaign_date"]) == ("passed", "live", DAY)
    assert stage.opened() == 1


def test_a_relay_that_is_down_is_a_failure_only_once_airflow_tries_no_more(stage: Stage) -> None:
    up = stage.practice.settings
    stage.practice.settings = replace(up, relays={"embedded": "smtp://localhost:1"})
    for number, ended in ((1, "retried"), (2, "retried"), (3, "failed")):
        assert "RelayConnectError" in str(stage.run(number))
        assert stage.ended == ended
    assert stage.opened() == 0
    stage.practice.settings = up
    assert stage.run(4) is None  # cleared
    assert stage.ended == "passed"


def test_a_relay_that_has_no_time_is_no_failure_whatever_the_try(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reengage.relay import RelayBusyError

    def busy(*_: object, **__: object) -> None:
        raise RelayBusyError("all connections are in use")

    monkeypatch.setattr("reengage.pipeline.preflight.preflight", busy)
    monkeypatch.setattr("reengage.pipeline.preflight.when_to_ask_again", lambda *_: MORNING)
    assert type(stage.run(3)).__name__ == "AirflowRescheduleException"
    assert stage.ended == "retried"


def _lapsed(practice: Practice) -> None:
    registry = yaml.safe_load((practice.settings.home / "vendors.yaml").read_text())
    registry["vendors"][0]["baa"]["expires"] = DAY - timedelta(days=1)
    file = practice.settings.home.parent / "vendors-of-the-practice.yaml"
    file.write_text(yaml.safe_dump(registry))
    practice.settings = replace(practice.settings, vendors_file=file)


def _without_a_key(practice: Practice, name: str) -> None:
    (practice.settings.keyring / name).unlink()


def _broken_campaign(practice: Practice) -> None:
    (practice.settings.home / f"campaigns/{CAMPAIGN}.yaml").write_text("nothing: of ours\n")


FAULTS: dict[str, tuple[Any, str]] = {
    "a lapsed agreement (SEC-20)": (_lapsed, "VendorError"),
    "no wrapping key": (lambda p: _without_a_key(p, "wrap/0001.key"), "KeyringError"),
    "no key of pseudonyms": (
        lambda p: _without_a_key(p, "pseudonym/0001.key"),
        "KeyringError",
    ),
    "no DKIM key": (lambda p: _without_a_key(p, "dkim/0001.pem"), "KeyringError"),
    "a template that is missing": (
        lambda p: (p.settings.home / f"templates/{CAMPAIGN}/es/body.txt").unlink(),
        "FileError",
    ),
    "a campaign's file that is broken": (_broken_campaign, "FileError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_no_time_mends_is_a_failure_at_once_and_no_word_of_it_is_kept(
    name: str, stage: Stage
) -> None:
    spoil, kind = FAULTS[name]
    spoil(stage.practice)
    told = str(stage.run())
    assert kind in told
    noted = stage.noted
    assert (noted["ended"], noted["mode"], noted["campaign_date"]) == ("failed", "live", DAY)
    words = set(told.split()) - {CAMPAIGN, "failed", "live"}
    assert not words & set(str(noted).split())
    assert stage.opened() == 0


def test_without_keys_the_ledger_has_no_beginning_and_the_pages_do(stage: Stage) -> None:
    for name in ("wrap", "pseudonym"):
        _without_a_key(stage.practice, f"{name}/0001.key")
    assert "KeyringError" in str(stage.run())
    assert stage.practice.rows("SELECT FROM ledger_entry WHERE kind = 'run_event'") == []
    assert stage.ended == "failed"


def test_an_unforeseen_error_leaves_nothing_of_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(*_: Any) -> None:
        raise LookupError(CANARY)

    monkeypatch.setattr("reengage.pipeline.preflight.require_few", spoiled)
    stage.run(3)
    assert stage.ended == "failed"
    assert CANARY not in str(stage.noted)


def test_it_waits_for_an_answer_until_the_day_is_over(stage: Stage) -> None:
    change(stage.practice)
    assert type(stage.run()).__name__ == "TaskAwaitingInput"
    assert stage.ended == "asked"
    assert stage.noted["until"] == NOW + timedelta(hours=12)  # noon to midnight in Chicago
    assert len(stage.asked) == 1
    assert stage.opened() == 0


@pytest.mark.parametrize(
    ("by", "chosen", "ended"),
    [("olga", "Approve", "passed"), ("olga", "Reject", "rejected"), ("", "Reject", "unanswered")],
)
def test_what_an_answer_led_to(by: str, chosen: str, ended: str, stage: Stage) -> None:
    change(stage.practice)
    stage.run()
    told = stage.answered(by, chosen)
    assert (stage.ended, stage.noted["until"]) == (ended, None)
    assert stage.opened() == (ended == "passed")
    assert (told is None) == (ended == "passed")


def test_a_no_of_before_is_not_the_next_ones(stage: Stage) -> None:
    """A cleared task may be the same object only in tests; its noted end must be its own."""
    change(stage.practice)
    stage.run()
    stage.answered("olga", "Reject")
    stage.task = type(stage.task)(task_id="preflight", campaign=CAMPAIGN)
    stage.practice.settings = replace(stage.practice.settings, relays={})
    approve_all(stage.practice.settings, CAMPAIGN)
    stage.practice.spoil("UPDATE approval SET decision = 'approved'")
    stage.run()
    assert stage.ended == "failed"


@pytest.mark.parametrize(
    "where", ["reengage.pipeline.trail.start", "reengage.pipeline.preflight.require_few"]
)
def test_who_is_killed_leaves_a_beginning_without_an_end(
    where: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(stage.practice)
    stage.run()
    assert stage.ended == "asked"  # which the next try's beginning takes back
    approve_all(stage.practice.settings, CAMPAIGN)
    with monkeypatch.context() as patch:
        patch.setattr(where, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        if (child := os.fork()) == 0:
            stage.run()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (stage.ended, stage.noted["ended_at"]) == (None, None)
    assert stage.run(2) is None  # Airflow tries again
    assert stage.ended == "passed"


def test_a_cleared_run_that_fails_says_so_and_keeps_its_day(stage: Stage) -> None:
    stage.run()
    stage.practice.settings = replace(stage.practice.settings, relays={})
    stage.run()
    assert (stage.ended, stage.opened()) == ("failed", 1)
    stage.practice = stage.practice.at(NOW + timedelta(days=1))
    stage.run()
    assert (stage.noted["campaign_date"], stage.noted["mode"]) == (DAY, "replay")


@pytest.mark.parametrize(
    ("params", "mode", "day"),
    [
        ({"dry": True}, "dry", DAY),
        ({"campaign_date": "2025-05-30"}, "replay", date(2025, 5, 30)),
        ({"campaign_date": "2025-06-02"}, "live", DAY),
    ],
)
def test_a_rehearsal_is_noted_as_one(
    params: dict[str, Any], mode: str, day: date, stage: Stage
) -> None:
    _without_a_key(stage.practice, "dkim/0001.pem")
    stage.run(**params)
    noted = stage.noted
    assert (noted["mode"], noted["campaign_date"], noted["ended"]) == (mode, day, "failed")


def test_a_store_that_is_down_begins_nothing_and_is_tried_again(
    stage: Stage, tmp_path: Path
) -> None:
    up = stage.practice.settings
    stage.practice.settings = replace(up, store_url=f"postgresql+psycopg://x@/s?host={tmp_path}")
    told = stage.run()
    assert type(told).__name__ == "AirflowException"
    assert "did not take the run's beginning (OperationalError)" in str(told)
    assert str(tmp_path) not in str(told)
    stage.practice.settings = up
    assert stage.practice.rows("SELECT FROM beginning") == []
    assert stage.practice.rows("SELECT FROM ledger_entry") == []


def test_an_end_that_cannot_be_noted_hides_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreError(CANARY)

    monkeypatch.setattr(beginnings, "end", away)
    stage.practice.settings = replace(stage.practice.settings, relays={})
    told = str(stage.run())
    assert "ConfigurationError: no relay is configured" in told
    assert stage.ended is None
