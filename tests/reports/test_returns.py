"""Did it bring patients back last month, and how sure are we: the answer and its numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from following import Many
from reengage import outcome_report
from reengage.outcome_report import CampaignReport
from reengage.outcomes.intervals import newcombe
from reengage.reports import returns
from reengage.reports.returns import Month, Told
from sqlalchemy import text

from reports.conftest import Reports
from reports.following_of import told_on

CAMPAIGN = "medication_reminder"
DAYS = [date(2025, 3, 31), date(2025, 4, 30), date(2025, 5, 31)]
BEGUN = date(2025, 3, 2)
"""All of whose 30 days end in April."""


@pytest.fixture
def many(reports: Reports, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Many]:
    monkeypatch.setenv("REENGAGE_STORE_URL", store_url)
    made = told_on(store_url, CAMPAIGN, DAYS, {"write": 1200, "holdout": 400}, BEGUN)
    yield made
    made.engine.dispose()


def counted(many: Many, arm: str) -> tuple[int, int]:
    """Who began, and who came back within 30 days: a direct count."""
    with many.engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT count(*), count(*) FILTER (WHERE returned_at < begins_at"
                " + interval '30 days') FROM follow_up LEFT JOIN outcome USING (follow_up_id)"
                " WHERE arm = :arm"
            ),
            {"arm": arm},
        ).one()
    return row[0], row[1]


def test_the_page_answers_with_the_numbers_of_a_direct_count(reports: Reports, many: Many) -> None:
    html = reports.get(f"/campaigns/{CAMPAIGN}?month=2025-04", "analyst").text
    write, holdout = counted(many, "write"), counted(many, "holdout")
    assert "Did it bring patients back in April 2025?" in html
    assert "Yes, more patients came back" in html
    assert f"Of {write[0]:,} patients written to" in html
    assert f"{write[1]:,} came back within 30 days: {write[1] / write[0]:.1%}" in html
    assert f"Of {holdout[0]:,} held out, {holdout[1]:,} came back" in html
    difference, low, high = (float(n) for n in newcombe(write[1], write[0], holdout[1], holdout[0]))
    assert f"{100 * difference:+.1f} percentage points" in html
    assert f"from {100 * low:+.1f} to {100 * high:+.1f}" in html


def test_without_a_month_it_is_the_last_in_which_there_is_an_answer(
    reports: Reports, many: Many
) -> None:
    html = reports.get(f"/campaigns/{CAMPAIGN}", "analyst").text
    assert "Did it bring patients back in April 2025?" in html


def test_its_tables_say_what_report_says(reports: Reports, many: Many) -> None:
    with many.engine.connect() as connection:
        [report] = outcome_report.read_report(connection, CAMPAIGN, date(2025, 5, 31))
    html = reports.get(f"/campaigns/{CAMPAIGN}?month=2025-05", "analyst").text
    page = html[html.index(f'id="outcome-{report.cohort}-all"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", page[: page.index("</table>")], re.S)[1:]
    cells = [
        [re.sub(r"<[^>]*>", "", one).strip() for one in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in rows
    ]
    lines = [one for one in report.lines if one.slice == "all"]
    lines.sort(key=lambda one: one.arm, reverse=True)  # who was written to first
    assert len(cells) == len(lines)
    for row, line in zip(cells, lines, strict=True):
        told = [line.enrolled, line.mature, line.returned]
        assert row[2:5] == ["*" if n is None else f"{n:,}" for n in told]


def test_an_export_has_the_same_lines(reports: Reports, many: Many) -> None:
    path = f"/campaigns/{CAMPAIGN}/export"
    csv = reports.get(f"{path}.csv?month=2025-04", "analyst").text
    assert csv.startswith("group,days,followed,over,returned,rate")
    write = counted(many, "write")
    assert f"Written to,30,{write[0]},{write[0]},{write[1]}," in csv
    assert reports.get(f"{path}.pdf?month=2025-04", "analyst").content.startswith(b"%PDF")


@pytest.mark.parametrize(
    "query",
    ["month=2025-13", "month=1999-01", "month=<script>", "month=2025-04&month=2025-05", "days=31",
     "days=-1", "days=1e3", "month=2025-04'--", "days=" + "9" * 3000],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_clear_400(reports: Reports, many: Many, query: str) -> None:
    answer = reports.get(f"/campaigns/{CAMPAIGN}?{query}", "analyst")
    assert answer.status_code == 400
    assert "<script>" not in answer.text.replace("<script src", "")


def test_the_role_that_reads_the_outcomes_reads_no_letter(reports: Reports, many: Many) -> None:
    from reengage.reports.auth import Visitor
    from reengage.reports.rules import RULES
    from reengage.reports.visit import Visit

    visit = Visit(Visitor("x", frozenset()), RULES["campaign"], None)  # type: ignore[arg-type]
    with (
        pytest.raises(Exception, match="permission denied for table letter"),
        visit.reporting() as connection,
    ):
        connection.execute(text("SELECT 1 FROM letter"))


def line(arm: str, mature: int | None, returned: int | None) -> Any:
    return outcome_report.Line("all", "all", arm, 30, mature=mature, returned=returned)


def report(*lines: Any, cohort: int = 2025) -> CampaignReport:
    until = datetime(2025, 5, 1, tzinfo=UTC)
    return CampaignReport("c", cohort, date(2025, 4, 30), until, lines, (), (), None)


def told(now: CampaignReport, *before: CampaignReport) -> Told:
    month = Month(date(2025, 4, 1), date(2025, 4, 30))
    return Told([month], month, [now], before)


@pytest.mark.parametrize(
    ("before", "now"),
    [((100, 50), (105, 52)), ((100, 50), (150, 55)), ((100, 50), (150, 95)), ((100, 50), (90, 40)),
     ((None, None), (None, None)), ((100, 50), (None, None))],
)  # fmt: skip
def test_a_month_that_would_tell_of_one_to_ten_patients_is_withheld(
    before: tuple[int | None, int | None], now: tuple[int | None, int | None]
) -> None:
    found = told(report(line("write", *now)), report(line("write", *before))).of_month(30)
    assert (found.write, found.word) == (None, "withheld")


def test_what_is_told_for_the_first_time_is_the_months() -> None:
    found = told(report(line("write", 150, 90)), report(line("write", None, None))).of_month(30)
    assert found.write is not None
    assert (found.write.of, found.write.returned) == (150, 90)


def test_without_a_holdout_the_share_is_told_and_no_effect() -> None:
    found = told(report(line("write", 400, 100), line("holdout", 0, 0))).of_month(30)
    assert found.word == "no_holdout"
    assert found.write is not None
    assert found.write.rate == 0.25
    assert found.effect is None


def test_a_month_is_what_is_new_over_all_cohorts() -> None:
    now = [report(line("write", 400, 100), line("holdout", 300, 60)),
           report(line("write", 900, 300), line("holdout", 800, 200), cohort=2024)]  # fmt: skip
    before = [report(line("write", 880, 280), line("holdout", 780, 180), cohort=2024)]
    month = Month(date(2025, 4, 1), date(2025, 4, 30))
    found = Told([month], month, now, before).of_month(30)
    assert found.write is not None
    assert found.holdout is not None
    assert (found.write.of, found.write.returned) == (420, 120)
    assert (found.holdout.of, found.holdout.returned) == (320, 80)


def test_a_month_that_goes_on_is_shown_only_while_there_is_no_other() -> None:
    days = [date(2025, 4, 29), date(2025, 4, 30), date(2025, 5, 3), date(2025, 6, 9)]
    months = returns.months_of(days, date(2025, 5, 4))
    assert [one.value for one in months] == ["2025-05", "2025-04"]
    assert [one.value for one in returns.candidates(months, None, date(2025, 5, 4))] == ["2025-04"]
    assert returns.candidates(months[:1], None, date(2025, 5, 4)) == months[:1]
    assert months[1].last_report == date(2025, 4, 30)
    assert months[0].first - timedelta(days=1) == date(2025, 4, 30)


def test_the_command_line_prints_the_same_report(reports: Reports, many: Many) -> None:
    from argparse import Namespace

    from reengage.cli import commands

    options = Namespace(campaign=CAMPAIGN, as_of=date(2025, 4, 30), json=True)
    with redirect_stdout(StringIO()) as said:
        assert commands.report(options) == 0
    [printed] = json.loads(said.getvalue())
    first = next(one for one in printed["lines"] if one["slice"] == "all" and one["arm"] == "write")
    html = reports.get(f"/campaigns/{CAMPAIGN}?month=2025-04", "analyst").text
    assert f"{first['returned']:,} came back" in html


def put_days(many: Many, *days: dict[str, Any]) -> None:
    """Runs of the campaign in March, as they were kept: on each 100 written to, 50 held out."""
    for number, said in enumerate(days, 1):
        day = date(2025, 3, 1 + number)
        states = said.get("states", {"sent": 100})
        funnel = {
            "campaign": CAMPAIGN, "as_of": day.isoformat(), "mode": "live", "finished": True,
            "living": 9000, "inactive": 4000, "candidates": 150, "excluded": {}, "eligible": 150,
            "held_out": 50, "states": states, "quality": {}, "seals": {"tls": states["sent"]},
            "warnings": [],
        }  # fmt: skip
        many.execute(
            "WITH made AS (INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id,"
            " campaign_sha256, vendor, baa_id, extracted_at, finished_at) VALUES"
            " (gen_random_uuid(), :campaign, :day, 'live', :name, '', 'v', 'b', now(), now())"
            " RETURNING run_id) INSERT INTO run_report (run_id, funnel, transport)"
            " SELECT run_id, CAST(:funnel AS jsonb), '[]' FROM made",
            campaign=CAMPAIGN, day=day, name=f"manual__{number}", funnel=json.dumps(funnel),
        )  # fmt: skip


HIDDEN_DAY = {"states": {"sent": 97, "refused": 3}}


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([{}, HIDDEN_DAY], False),
        ([HIDDEN_DAY] * 7, True),
        ([{}, {"states": {"sent": 80, "unknown": 20}}], False),
    ],
    ids=["one day hidden", "days that hide each other", "a day that may change"],
)
def test_an_analyst_is_told_of_months_whose_days_give_nothing_away(
    days: list[dict[str, Any]], told: bool, reports: Reports, many: Many
) -> None:
    """PRV-27; the officer, who sees small counts, is told of all."""
    put_days(many, *days)
    paths = [f"/campaigns/{CAMPAIGN}{of}?month=2025-{month}" for of in ("", "/export.csv")
             for month in ("04", "05")]  # fmt: skip
    pages = {who: [reports.get(path, who).text for path in paths] for who in ("analyst", "officer")}
    said = "You are told nothing of January to March 2025"
    assert (said in pages["analyst"][0]) is not told
    assert said not in pages["officer"][0]
    counts = (counted(many, "write")[0], *(counted(many, arm)[1] for arm in ("write", "holdout")))
    for who, is_told in (("analyst", told), ("officer", True)):
        for page in pages[who]:
            found = [bool(re.search(rf"\b({n}|{n:,})\b", page)) for n in counts]
            assert found == [is_told] * 3, who
        assert ("percentage points" in pages[who][0]) is is_told
        assert ("The curve is told once" not in pages[who][0]) is is_told
