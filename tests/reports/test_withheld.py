"""Runs that an Analyst is not told: between two states of the same letters few change (PRV-27)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from reengage.pipeline.run import derive_run_id

from reports.conftest import CAMPAIGN, DAG, Reports, make_unknown
from reports.test_pages import numbers

WITHHELD = "You are shown a run's counts when they can change no more"
TWIN = f"/dags/{DAG}/runs/manual__twin"


@pytest.fixture
def twin(request: pytest.FixtureRequest, reports: Reports) -> Iterator[None]:
    """A second run of the day, settled; which mode, and whether later or earlier, is asked."""
    mode, later = request.param
    columns = (
        "campaign, campaign_date, campaign_sha256, vendor, baa_id, warnings, requires_tls, living,"
        " inactive, candidates, extracted_at, finished_at"
    )
    reports.practice.spoil(
        f"INSERT INTO run (run_id, dag_run_id, mode, opened_at, {columns}) SELECT"
        f" '{derive_run_id(DAG, 'manual__twin')}', 'manual__twin', '{mode}',"
        f" opened_at {later} interval '1 hour', {columns} FROM run"
    )
    yield
    reports.practice.spoil(
        "DELETE FROM run_report", "DELETE FROM run WHERE dag_run_id = 'manual__twin'"
    )


@pytest.mark.parametrize(
    ("twin", "told"),
    [(("live", "+"), False), (("live", "-"), True), (("dry", "+"), True), (("dry", "-"), True)],
    indirect=["twin"],
)
@pytest.mark.usefixtures("twin")
def test_an_analyst_sees_one_run_of_a_day(told: bool, reports: Reports) -> None:
    """PRV-27: two count the same patients; what lies between them may be few."""
    if told:
        assert WITHHELD not in reports.get(reports.run_path, "analyst").text
        require_withheld(reports, TWIN)
    else:
        require_withheld(reports, reports.run_path)


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("mode = 'dry'", "mode = 'live'"),
        ("finished_at = NULL", "finished_at = clock_timestamp()"),
    ],
)
def test_an_analyst_sees_no_counts_of_a_run_that_may_change(
    change: str, back: str, reports: Reports
) -> None:
    """A rehearsal tells who is held out, a run under way who is not sent yet."""
    reports.practice.spoil(f"UPDATE run SET {change}", "DELETE FROM run_report")
    try:
        require_withheld(reports, reports.run_path)
    finally:
        reports.practice.spoil(f"UPDATE run SET {back}", "DELETE FROM run_report")


def test_an_analyst_sees_no_counts_while_a_letter_is_unknown(reports: Reports) -> None:
    """They would tell afterwards what became of that one."""
    letter = make_unknown(reports)
    require_withheld(reports, reports.run_path)
    form = {"verdict": "sent", "ground": "the relay's log of the day"}
    assert reports.post(f"/compliance/unknown/{letter}", form).status_code == 303
    assert WITHHELD not in reports.get(reports.run_path, "analyst").text


def require_withheld(reports: Reports, run: str) -> None:
    """No page tells an Analyst a count of the run; a Data Engineer is told all."""
    page = reports.get(run, "analyst").text
    assert WITHHELD in page
    assert numbers(page, "funnel") == {}
    assert reports.get(f"{run}/export.csv", "analyst").status_code == 404
    link = re.escape(quote(unquote(run.rpartition("/")[2]), safe=""))
    html = reports.get(f"/campaigns/{CAMPAIGN}", "analyst").text + reports.get("/", "analyst").text
    lines = re.findall(rf"<tr>(?:(?!</tr>).)*/runs/{link}\".*?</tr>", html, re.S)
    assert lines
    for line in lines:
        counts = re.findall(r'data-label="(?:Candidates|Eligible|Sent)"[^>]*>(.*?)<', line)
        assert set(counts) == {"–"}
    assert numbers(reports.get(run, "engineer").text, "funnel")
