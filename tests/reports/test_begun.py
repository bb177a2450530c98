"""Runs that never passed preflight: every page knows of them, and claims order only where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import yaml
from reengage.pipeline import beginnings, required
from reengage.pipeline.beginnings import Ended
from reengage.pipeline.required import Place
from reengage.pipeline.run import derive_run_id
from reengage.reports import begun, waiting
from reengage.reports.begun import Begun, State
from reengage.settings import HOME
from sqlalchemy import create_engine
from world import DAY

from reports.conftest import CAMPAIGN, DAG, DAG_RUN, ROLES, Reports

SECOND = "scheduled__2025-06-02T14:00:00+00:00"
HOSTILE = "manual__<script>alert(1)<!--'; DROP TABLE beginning;--..?x=1&y#z"
IN_ORDER = "Nothing. Each campaign's last live run has ended in order."
NOT_NEEDED = "Health education, 2025-06-02: "
WHO = sorted(ROLES)


@pytest.fixture
def noted(reports: Reports) -> Iterator[Reports]:
    """The run is of an hour before. Whatever a test notes goes with it."""
    reports.practice.spoil("UPDATE run SET opened_at = opened_at - interval '1 hour'")
    yield reports
    reports.practice.spoil(
        "DELETE FROM beginning",
        "DELETE FROM question",
        "UPDATE run SET opened_at = opened_at + interval '1 hour',"
        " finished_at = coalesce(finished_at, now())",
    )


def path(name: str = SECOND, dag: str = DAG) -> str:
    return f"/dags/{dag}/runs/{quote(name, safe='')}"


def begin(
    reports: Reports,
    ended: Ended | None = None,
    *,
    name: str = SECOND,
    day: date | None = None,
    dry: bool = False,
    hours: float = 3,
    minutes_ago: float = 0,
) -> None:
    """Preflight of another run of the campaign, as the corridor notes it."""
    settings, run_id = reports.practice.settings, derive_run_id(DAG, name)
    beginnings.begin(settings, CAMPAIGN, run_id, name, day=day, scheduled_for=None, dry=dry)
    if ended:
        until = settings.now() + timedelta(hours=hours) if ended == "asked" else None
        beginnings.end(settings, run_id, ended, until)
    if minutes_ago:
        reports.practice.spoil(
            f"UPDATE beginning SET begun_at = begun_at - interval '{minutes_ago} minutes',"
            f" ended_at = ended_at - interval '{minutes_ago} minutes'"
        )


def front(reports: Reports, who: str = "officer") -> str:
    """The overview, as it is read."""
    return unescape(reports.get("/", who).text)


def needs(reports: Reports, who: str = "officer") -> list[str]:
    """What needs a person, of this campaign."""
    text = front(reports, who)
    part = text[text.index('id="waiting"') : text.index('id="campaigns"')]
    return re.findall(r"<li class=\"(?:warn|bad)\"><span>(Health education.*?)</span>", part)


def last_run(reports: Reports, who: str = "officer") -> str:
    """The campaign's row of the last runs."""
    text = reports.get("/", who).text
    found = re.findall(r"<tr>.*?</tr>", text[text.index('id="campaigns"') :], re.S)
    return next(row for row in found if "Health education" in row)


def test_order_is_claimed_where_every_last_run_has_ended(reports: Reports) -> None:
    text = front(reports)
    assert IN_ORDER in text
    assert "None yet of Appointment reminder" in text
    reports.practice.spoil("UPDATE run SET finished_at = NULL")
    text = front(reports)
    assert "Nothing for now. Under way: Health education, 2025-06-02." in text
    assert IN_ORDER not in text
    reports.practice.spoil("UPDATE run SET finished_at = now()")


def test_a_store_without_a_run_claims_no_order(
    reports: Reports, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", store_url)
    assert "Nothing yet: no campaign has begun a live run." in reports.get("/").text


ENDS: dict[str, tuple[Ended | None, dict[str, float], str]] = {
    "failed": ("failed", {}, "failed before it began (preflight)"),
    "killed": (None, {"minutes_ago": 16}, "stopped before it began (preflight)"),
    "never tried again": ("retried", {"minutes_ago": 16}, "stopped before it began (preflight)"),
    "asks": ("asked", {}, "waits for an answer"),
    "asked too long": ("asked", {"hours": -1}, "nobody answered; nothing was sent"),
    "unanswered": ("unanswered", {}, "nobody answered; nothing was sent"),
    "rejected": ("rejected", {}, "not approved; nothing was sent"),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("who", WHO)
def test_a_run_that_never_was_is_told_to_everybody(name: str, who: str, noted: Reports) -> None:
    ended, how, words = ENDS[name]
    begin(noted, ended, **how)  # type: ignore[arg-type]
    assert needs(noted, who) == [f"{NOT_NEEDED}{words}."]
    assert IN_ORDER not in front(noted, who)
    row = last_run(noted, who)
    assert words in row
    assert "settled" not in row
    assert f'href="{path()}"' in row
    answer = noted.get(path(), who)
    assert answer.status_code == 200, answer.text
    assert words in answer.text
    assert "What to do" in answer.text
    assert f'href="{path()}" data-outside>The run in Airflow' in answer.text
    assert ("Approvals</a>" in answer.text) == (
        words.startswith(("nobody", "not approved")) and who in ("officer", "admin")
    )
    assert words in noted.get(f"/campaigns/{CAMPAIGN}", who).text
    assert noted.get(f"{path()}/export.csv", who).status_code == 404


@pytest.mark.parametrize(
    ("ended", "words"),
    [(None, "in preflight"), ("retried", "failed in preflight, is tried again")],
)
def test_what_is_at_work_or_tried_again_needs_nobody_and_is_no_order(
    ended: Ended | None, words: str, noted: Reports
) -> None:
    begin(noted, ended)
    assert needs(noted) == []
    assert "Under way: Health education, 2025-06-02." in noted.get("/").text
    assert IN_ORDER not in front(noted)
    assert words in last_run(noted)
    assert noted.get(path()).status_code == 200


def test_a_try_that_succeeds_after_one_that_failed_is_told_as_the_run(noted: Reports) -> None:
    begin(noted, "failed", name=DAG_RUN)
    assert needs(noted) == [f"{NOT_NEEDED}failed at preflight."]
    with noted.practice_store() as connection:
        beginnings.passed(connection, derive_run_id(DAG, DAG_RUN))
    assert needs(noted) == []
    assert IN_ORDER in front(noted)
    assert "settled" in last_run(noted)
    assert "Since it was cleared" not in noted.get(noted.run_path).text


def test_a_run_that_was_cleared_and_fails_says_both(noted: Reports) -> None:
    begin(noted, "failed", name=DAG_RUN)
    text = noted.get(noted.run_path).text
    assert "failed at preflight</span>" in text
    assert "Since it was cleared" in text
    assert 'id="funnel-of"' in text
    assert "nothing was sent" not in needs(noted)[0]
    listed = noted.get(f"/campaigns/{CAMPAIGN}").text
    assert "failed at preflight" in listed
    assert noted.get(f"{noted.run_path}/export.csv").status_code == 200


@pytest.mark.parametrize("how", [{"dry": True}, {"day": DAY - timedelta(days=1)}])
def test_a_rehearsal_that_fails_is_no_failure_of_the_day_and_hides_none(
    how: dict[str, Any], noted: Reports
) -> None:
    begin(noted, "failed", name="manual__rehearsed", **how)
    assert needs(noted) == []
    assert IN_ORDER in front(noted)
    assert '<span class="badge warn">failed before it began' in last_run(noted)
    assert noted.get(path("manual__rehearsed")).status_code == 200
    begin(noted, "failed", minutes_ago=1)
    begin(noted, "passed", name="manual__rehearsed", dry=True)  # type: ignore[arg-type]
    assert needs(noted) == [f"{NOT_NEEDED}failed before it began (preflight)."]


def test_a_later_run_of_the_campaign_ends_it(noted: Reports) -> None:
    begin(noted, "failed", minutes_ago=24 * 60)
    noted.practice.spoil("UPDATE beginning SET begun_at = '2020-01-01'")
    assert needs(noted) == []
    assert IN_ORDER in front(noted)


def test_a_question_is_said_once_and_leads_to_airflow_from_a_first_runs_page(
    noted: Reports,
) -> None:
    begin(noted, "asked")
    settings = noted.practice.settings
    place = Place(derive_run_id(DAG, SECOND), DAG, SECOND, "preflight", -1)
    subject = "Health education, 2025-06-02: 7 changed. Send by it?"
    until = settings.now() + timedelta(hours=3)
    required.note(settings, place, subject, {"template/x": "ab" * 32}, until)
    assert len(needs(noted)) == 1
    for who in WHO:
        text = noted.get(path(), who).text
        assert (subject in text) == (who != "analyst")
        assert ("required_actions" in text) == (who != "analyst")
        assert "waits for an answer" in text


def test_a_hostile_name_is_shown_as_text_and_leads_nowhere_else(noted: Reports) -> None:
    begin(noted, "failed", name=HOSTILE)
    for page in ("/", path(HOSTILE), f"/campaigns/{CAMPAIGN}"):
        answer = noted.get(page)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert f'href="{path(HOSTILE)}"' in noted.get("/").text
    assert "&lt;script&gt;alert(1)" in noted.get(path(HOSTILE)).text


@pytest.mark.parametrize(
    "page",
    [path("manual__unknown"), path(HOSTILE), path(SECOND, "reengage_appointment_reminder"),
     path(SECOND, "other"), path(SECOND, "reengage_none"), path("\x00"),
     path("../" + SECOND), path("x" * 5000)],
)  # fmt: skip
def test_what_never_began_is_not_there(page: str, noted: Reports) -> None:
    begin(noted, "failed")
    before = len(noted.accesses())
    answer = noted.get(page)
    assert answer.status_code == 404
    assert "A run is here from when" in answer.text
    assert len(noted.accesses()) == before


def test_each_view_of_it_is_on_record_and_nothing_that_was_typed(noted: Reports) -> None:
    begin(noted, "failed", name=HOSTILE)
    before = len(noted.accesses())
    noted.get(path(HOSTILE), "analyst")
    [record] = noted.accesses()[before:]
    assert (record["actor"], record["of"]) == ("airflow:analyst", "reports/run")
    assert record["detail"] == {"campaign": CAMPAIGN, "day": "2025-06-02"}


def test_a_run_whose_day_is_over_and_that_has_no_end_needs_a_person(
    noted: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that was killed for good says nothing more."""
    noted.practice.spoil("UPDATE run SET finished_at = NULL")
    assert needs(noted) == []
    monkeypatch.setenv("REENGAGE_PINNED_NOW", "2025-06-03T05:30:00+00:00")  # after midnight there
    assert needs(noted) == [f"{NOT_NEEDED}not over, though its day is."]


@pytest.mark.parametrize("who", WHO)
def test_an_agreement_that_has_ended_is_told_to_everybody(
    who: str, noted: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = yaml.safe_load((HOME / "vendors.yaml").read_text(encoding="utf-8"))
    registry["vendors"][0]["baa"]["expires"] = DAY - timedelta(days=1)
    file = tmp_path / "vendors.yaml"
    file.write_text(yaml.safe_dump(registry), encoding="utf-8")
    monkeypatch.setenv("REENGAGE_VENDORS_FILE", str(file))
    text = front(noted, who)
    assert re.search(r"he agreement with \w+ (is|has) ended, on 2025-06-01", text)
    assert IN_ORDER not in text


NOW = datetime(2025, 6, 2, 17, tzinfo=UTC)


def a_beginning(state: State = "failed", mode: str = "live", minutes: int = 0) -> Begun:
    at = NOW + timedelta(minutes=minutes)
    return Begun(uuid4(), CAMPAIGN, DAY, mode, SECOND, at, None, state, False)


def a_row(mode: str = "live", minutes: int = 0) -> Any:
    return SimpleNamespace(
        run_id=uuid4(), campaign=CAMPAIGN, mode=mode, opened_at=NOW + timedelta(minutes=minutes)
    )


def test_what_a_campaign_began_last_is_the_newest_that_counts() -> None:
    row, later = a_row(), a_beginning(minutes=5)
    assert begun.last([row], [later]) == {CAMPAIGN: later}
    assert begun.last([row], [a_beginning(minutes=-5)]) == {CAMPAIGN: row}
    assert begun.last([row], [a_beginning("passed", minutes=5)]) == {CAMPAIGN: row}
    rehearsal = a_row("dry", minutes=9)
    assert begun.last([row, rehearsal], [later]) == {CAMPAIGN: rehearsal}
    assert begun.last([row, rehearsal], [later], live=True) == {CAMPAIGN: later}
    assert begun.last([], []) == {}
    assert waiting.order([], {}).is_whole is False


def test_an_overview_reads_the_beginnings_of_years_by_their_index(noted: Reports) -> None:
    """A row a day and campaign for as long as they are kept, and then some."""
    noted.practice.spoil(
        "INSERT INTO beginning (run_id, campaign, dag_run_id, campaign_date, mode, begun_at, ended,"
        " ended_at) SELECT gen_random_uuid(), 'c' || n % 5, n::text, '2020-01-01', 'live',"
        " timestamptz '2020-01-01Z' + n * interval '1 hour', 'passed', now()"
        " FROM generate_series(1, 20000) AS n",
        "ANALYZE beginning",
    )
    engine = create_engine(noted.practice.settings.store_url)
    asked = replace_parameters(begun.NEWEST)
    with engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {asked}").scalars())
    engine.dispose()
    assert "Index Scan using beginning_of" in plan
    assert "Seq Scan on beginning" not in plan


def replace_parameters(statement: str) -> str:
    return statement.replace(":slugs", "'{c0,c1,c2}'").replace(":now", "now()")
