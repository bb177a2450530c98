"""The main job: the audit follows the campaigns whatever became of them, and hides nothing."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from reengage.campaigns import load_campaigns
from reengage.embedded import main_job
from reengage.embedded.layout import Layout
from reengage.embedded.processes import ProcessError
from reengage.errors import ReengageError
from reengage.settings import HOME
from rich.console import Console

FOUND = {
    "verify": {"entries": 1234, "root": "00"},
    "checkpoint": {"size": 1237, "root": "2f85029e0a6dbd50"},
    "reconcile": {"tries": 37, "gaps": 0},
}


class Stub:
    """A client of an Airflow in which the audit ends in `state` and gives `found`."""

    def __init__(self, state: str, found: dict[str, Any]) -> None:
        self.state, self.found = state, found

    def wait_for_dag(self, dag_id: str) -> None:
        assert dag_id == "reengage_audit"

    def unpause(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, dag_run_id: str, conf: dict[str, Any]) -> None:
        pass

    def run_state(self, dag_id: str, dag_run_id: str) -> str:
        return self.state

    def reasons(self, dag_id: str, dag_run_id: str) -> list[str]:
        return ["verify: LedgerError: entry 7 is missing"]

    def result(self, dag_id: str, dag_run_id: str, task: str) -> Any:
        return self.found.get(task)


def site_with(state: str = "success", found: dict[str, Any] = FOUND) -> main_job.Site:
    flow = main_job.airflow.Airflow(Stub(state, found), "", "")  # type: ignore[arg-type]
    return main_job.Site(Layout(HOME), None, flow, {})  # type: ignore[arg-type]


def told(site: main_job.Site, monkeypatch: pytest.MonkeyPatch, *failed: str) -> tuple[Any, str]:
    """The error that the whole job ends with, if any, and what was printed."""
    assert load_campaigns(HOME)[1] == []
    monkeypatch.setattr(main_job, "run_each", lambda *_: list(failed))
    output = StringIO()
    try:
        main_job.run_campaigns(site, main_job.Job(), Console(file=output, width=200))
    except ReengageError as error:
        return error, output.getvalue()
    return None, output.getvalue()


def test_one_line_tells_what_the_audit_found(monkeypatch: pytest.MonkeyPatch) -> None:
    error, output = told(site_with(), monkeypatch)
    assert error is None
    assert output.splitlines()[-1] == (
        "ledger    1,234 entries, verified, checkpoint 1,237 2f85029e0a6dbd50,"
        " 37 tries reconciled, gaps 0"
    )


def test_a_red_audit_fails_the_job_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    error, output = told(site_with("failed", {"reconcile": FOUND["reconcile"]}), monkeypatch)
    assert type(error) is main_job.AuditFailedError
    assert str(error) == "reengage_audit: verify: LedgerError: entry 7 is missing"
    assert "ledger    not verified, no checkpoint, 37 tries" in output


def test_a_campaign_that_failed_is_told_first_and_the_audit_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error, output = told(site_with(), monkeypatch, "reengage_x: gate: red")
    assert type(error) is main_job.CampaignFailedError
    assert str(error) == "reengage_x: gate: red"
    assert "gaps 0" in output
    error, _ = told(site_with("failed", {}), monkeypatch, "reengage_x: gate: red")
    assert type(error) is main_job.CampaignFailedError
    assert str(error).splitlines() == [
        "reengage_x: gate: red", "reengage_audit: verify: LedgerError: entry 7 is missing"
    ]  # fmt: skip


def test_an_airflow_that_is_gone_hides_no_campaigns_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise ProcessError("no healthy Airflow")

    monkeypatch.setattr(main_job, "run_audit", gone)
    error, _ = told(site_with(), monkeypatch, "reengage_x: gate: red")
    assert str(error).splitlines() == [
        "reengage_x: gate: red", "reengage_audit: no healthy Airflow"
    ]  # fmt: skip


# --- a run that waits for a person ---


class Waiting(Stub):
    """An Airflow in which an earlier run of each campaign waits for an answer."""

    def __init__(self) -> None:
        super().__init__("success", FOUND)
        self.calls: list[tuple[str, ...]] = []

    def wait_for_dag(self, dag_id: str) -> None:
        pass

    def asked(self, dag_id: str) -> list[str]:
        return [] if any(call[0] == "end" for call in self.calls) else ["manual__before"]

    def end(self, dag_id: str, dag_run_id: str, note: str) -> None:
        self.calls.append(("end", dag_id, dag_run_id))

    def trigger(self, dag_id: str, dag_run_id: str, conf: dict[str, Any]) -> None:
        self.calls.append(("trigger", dag_id))


def test_a_run_that_waited_for_a_person_gives_way_to_the_next() -> None:
    """A campaign has one run at a time: the next one would wait behind it for half an hour."""
    client = Waiting()
    flow = main_job.airflow.Airflow(client, "", "")  # type: ignore[arg-type]
    site = main_job.Site(Layout(HOME), None, flow, {})  # type: ignore[arg-type]
    campaign, *_ = load_campaigns(HOME)[0]
    output = StringIO()
    console = Console(file=output, width=200)
    assert main_job.run_each(site, main_job.Job(), console, [campaign]) == []
    assert client.calls == [
        ("end", campaign.dag_id, "manual__before"), ("trigger", campaign.dag_id),
    ]  # fmt: skip
    assert "manual__before waited for a person's answer" in output.getvalue()
