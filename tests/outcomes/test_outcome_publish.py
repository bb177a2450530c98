"""The report's tables: the same whenever they are made, and nothing of a patient in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from io import StringIO

import pytest
from databases import create_database
from following import Many
from reengage import outcome_report
from reengage.embedded.postgres import Postgres
from reengage.errors import StoreError
from reengage.outcomes.summing import Line, effects_of
from reengage.outcomes.telling import Told
from rich.console import Console
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

BEGUN = date(2026, 1, 1)
DAYS = [BEGUN + timedelta(days=n) for n in (20, 61, 62, 95, 125, 160, 215, 250)]
"""Of two months: before anything is over, then after each horizon's end."""


@pytest.fixture(scope="module")
def full(server: Postgres) -> Iterator[Many]:
    """Two months, reported on on each of the days; only looked at."""
    create_database(server, "store", "published")
    made = Many.put(server.url("published"), {"write": 1500, "holdout": 1100})
    for day in DAYS:
        made.publish(day)
    yield made
    made.engine.dispose()


@pytest.fixture
def many(store_url: str) -> Iterator[Many]:
    """Fewer, to be changed."""
    made = Many.put(store_url, {"write": 600, "holdout": 400})
    yield made
    made.engine.dispose()


def read(many: Many, day: date | None = None) -> outcome_report.CampaignReport:
    with many.engine.connect() as connection:
        [found] = outcome_report.read_report(connection, "health_education", day)
    return found


def everybody(many: Many, day: date, arm: str, horizon: int) -> Line:
    [line] = [
        one for one in read(many, day).lines
        if (one.slice, one.arm, one.horizon_days) == ("all", arm, horizon)
    ]  # fmt: skip
    return line


def counted(many: Many, arm: str, horizon: int, day: date) -> tuple[int, int]:
    """The plain count: follow-ups of months whose horizon is over, and who came back within it."""
    with many.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT begins_at, returned_at FROM follow_up LEFT JOIN outcome USING"
                 " (follow_up_id) WHERE arm = :arm"),
            {"arm": arm},
        ).all()  # fmt: skip
    length = timedelta(days=horizon)
    over = [
        row for row in rows
        if date(2026, row.begins_at.month + 1, 1) + length <= day + timedelta(days=1)
    ]  # fmt: skip
    back = [r for r in over if r.returned_at and r.returned_at < r.begins_at + length]
    return len(over), len(back)


def test_the_numbers_are_those_of_a_plain_count(full: Many) -> None:
    compared = 0
    for day in DAYS:
        for arm in ("write", "holdout"):
            for horizon in (30, 60, 90, 180):
                line = everybody(full, day, arm, horizon)
                expected = counted(full, arm, horizon, day)
                assert (line.mature or 0, line.returned or 0) == expected
                compared += line.counted_on is not None
    assert compared > 20
    last = everybody(full, DAYS[-1], "write", 180)
    assert (last.enrolled, last.mature) == (1500, 1500)


def test_who_was_written_to_last_month_is_not_counted_as_not_returned(full: Many) -> None:
    assert everybody(full, DAYS[0], "write", 30).counted_on is None
    line = everybody(full, DAYS[1], "write", 30)
    assert 0 < (line.mature or 0) < 1500
    assert everybody(full, DAYS[1], "write", 60).mature is None


def test_a_past_days_report_made_again_is_the_same(many: Many) -> None:
    for day in DAYS:
        many.publish(day)
    before = many.report()
    for day in reversed(DAYS):
        many.publish(day)
    assert many.report() == before
    many.execute(
        "TRUNCATE report.told, report.published, report.outcome, report.effect, report.return_curve"
    )
    for day in DAYS:
        many.publish(day)
    assert many.report() == before


def test_what_becomes_known_later_changes_nothing_that_was_told(many: Many) -> None:
    for day in DAYS[:5]:
        many.publish(day)
    before = many.report()
    many.execute(
        "INSERT INTO outcome (follow_up_id, known_on, returned_at) SELECT follow_up_id, :day,"
        " begins_at + INTERVAL '80 days' FROM follow_up WHERE follow_up_id NOT IN"
        " (SELECT follow_up_id FROM outcome)",
        day=DAYS[5],
    )
    for day in DAYS[:5]:
        many.publish(day)
    assert many.report() == before
    many.publish(DAYS[5])
    lines = {h: everybody(many, DAYS[5], "write", h) for h in (30, 90)}
    assert lines[30] == everybody(many, DAYS[4], "write", 30)
    assert lines[90].counted_on == DAYS[5]
    assert (lines[90].rate or 0) > 0.6


def test_a_day_nobody_asked_about_has_no_report(full: Many) -> None:
    from reengage.campaigns import load_campaign
    from reengage.outcomes.publish import publish
    from reengage.settings import HOME

    with pytest.raises(StoreError, match="nobody has asked the warehouse what became of health"):
        publish(full.settings, load_campaign(HOME, "health_education"), BEGUN)


def test_a_day_that_is_published_late_tells_nothing_of_its_own(many: Many) -> None:
    """It would be one more count of the same patients, to be held against the others."""
    for day in (DAYS[1], DAYS[5]):
        many.publish(day)
    before = many.report()["told"]
    many.execute(  # its load reached further than that of the later day
        "INSERT INTO outcome_day VALUES ('health_education', :day, '2026-12-01', 0, 0)", day=DAYS[3]
    )
    assert many.publish(DAYS[3]).told > 0
    assert many.report()["told"] == before
    for horizon in (30, 60, 90, 180):
        late, earlier = (everybody(many, day, "write", horizon) for day in (DAYS[3], DAYS[1]))
        assert late == earlier


def test_a_few_patients_more_do_not_show_from_one_day_to_the_next(many: Many) -> None:
    many.publish(DAYS[-1])
    many.execute(
        "DELETE FROM outcome WHERE follow_up_id IN"
        " (SELECT follow_up_id FROM outcome ORDER BY follow_up_id LIMIT 3)"
    )
    following = DAYS[-1] + timedelta(days=1)
    many.publish(following)
    assert read(many, following).lines == read(many, DAYS[-1]).lines


def test_the_tasks_may_add_to_what_was_told_and_change_nothing(full: Many) -> None:
    with full.engine.connect() as connection:
        allowed = connection.execute(
            text(
                "SELECT privilege_type FROM information_schema.role_table_grants"
                " WHERE table_schema = 'report' AND table_name = 'told'"
                " AND grantee = 'reengage_tasks' ORDER BY 1"
            )
        ).scalars()
        assert list(allowed) == ["INSERT", "SELECT"]


def test_the_effect_is_that_of_the_numbers_that_are_told(full: Many) -> None:
    report = read(full)
    [effect] = [e for e in report.effects if (e.slice, e.horizon_days) == ("all", 90)]
    write, holdout = (everybody(full, DAYS[-1], arm, 90) for arm in ("write", "holdout"))
    assert effect.verdict == "more"
    assert effect.difference == pytest.approx((write.rate or 0) - (holdout.rate or 0))
    assert effect.needed == pytest.approx(1 / (effect.difference or 1))
    assert {e.verdict for e in report.effects if e.slice == "language"} >= {"more"}


def test_an_effect_compares_the_same_months_of_both_arms() -> None:
    def row(arm: str, month: int, patients: int, returned: int) -> Told:
        began, ended = date(2026, month, 1), date(2026, month + 1, 1)
        return Told(2026, began, ended, "all", "all", arm, 30, ended, patients, returned)

    told = [row("write", 1, 100, 50), row("holdout", 1, 100, 30), row("write", 2, 100, 90)]
    [effect] = [one for one in effects_of(told) if one["horizon_days"] == 30]
    assert effect["difference"] == pytest.approx(0.2)
    assert [one["verdict"] for one in effects_of(told[1:])] == ["withheld"] * 4


def test_the_curve_ends_where_the_table_does(full: Many) -> None:
    report = read(full)
    for arm in ("write", "holdout"):
        points = [one for one in report.curve if one.arm == arm]
        line = everybody(full, DAYS[-1], arm, 180)
        assert points[-1].day == 180
        assert points[-1].returned == pytest.approx(line.rate, abs=1e-9)
        shares = [one.returned for one in points]
        assert shares == sorted(shares)
        assert len(points) > 6


def test_a_handful_of_patients_is_withheld_whole(store_url: str) -> None:
    many = Many.put(store_url, {"write": 29, "holdout": 4})
    many.publish(DAYS[-1])
    report = read(many)
    assert {one.counted_on for one in report.lines if one.arm == "holdout"} == {None}
    assert {one.verdict for one in report.effects} == {"withheld"}
    assert [one for one in report.curve if one.arm == "holdout"] == []
    shown = printed(report)
    assert "*" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    many.engine.dispose()


def test_a_year_is_reported_until_its_last_follow_up_is_over(store_url: str) -> None:
    many = Many.put(store_url, {"write": 300}, begun=date(2025, 11, 15), days=80)
    assert [many.publish(date(*day)).cohorts for day in ((2025, 12, 20), (2026, 3, 1))] == [1, 2]
    assert many.publish(date(2026, 9, 1)).cohorts == 1
    with many.engine.connect() as connection:
        reports = outcome_report.read_report(connection, "health_education", date(2026, 3, 1))
    assert [one.cohort for one in reports] == [2026, 2025]
    many.engine.dispose()


def test_it_is_printed_with_intervals_and_words(full: Many) -> None:
    shown = printed(read(full))
    assert "Who came back" in shown
    assert "more came back of those written to" in shown
    assert "By age band" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_it_is_told_in_a_line_or_why_there_is_nothing_yet(full: Many) -> None:
    with full.engine.connect() as connection:
        last = outcome_report.in_a_line(connection, "health_education")
        first = outcome_report.in_a_line(connection, "health_education", DAYS[0])
    returned = everybody(full, DAYS[-1], "write", 180).returned
    assert last.startswith(f"health_education: {returned:,} of 1,500 within 180 days (")
    assert "nothing to tell yet" in first


def printed(report: outcome_report.CampaignReport) -> str:
    out = StringIO()
    outcome_report.render(report, Console(file=out, width=100))
    return out.getvalue()


# --- who may read it ---


@pytest.fixture
def as_reporter(server: Postgres, full: Many) -> Iterator[Engine]:
    with full.engine.begin() as connection:
        known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = 'test_reporter'"))
        if not known.first():
            connection.execute(text("CREATE ROLE test_reporter LOGIN"))
        connection.execute(text("GRANT reengage_reporter TO test_reporter"))
    engine = create_engine(full.engine.url.set(username="test_reporter"))
    yield engine
    engine.dispose()


def test_the_reporter_reads_the_report_and_nothing_else(full: Many, as_reporter: Engine) -> None:
    with as_reporter.connect() as connection:
        assert outcome_report.read_report(connection, "health_education")
    for table in ("follow_up", "follow_up_key", "outcome", "letter", "decision", "ledger_entry"):
        with as_reporter.connect() as connection, pytest.raises(ProgrammingError):
            connection.execute(text(f"SELECT * FROM public.{table}"))
    with as_reporter.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("DELETE FROM report.outcome"))


def test_nobody_else_reads_the_report_but_the_task_that_writes_it(full: Many) -> None:
    with full.engine.connect() as connection:
        allowed = connection.execute(
            text(
                "SELECT grantee, string_agg(DISTINCT privilege_type, ',' ORDER BY privilege_type)"
                " FROM information_schema.role_table_grants WHERE table_schema = 'report'"
                " AND grantee <> 'postgres' GROUP BY grantee ORDER BY grantee"
            )
        ).all()
    assert [tuple(row) for row in allowed] == [
        ("reengage_reporter", "SELECT"), ("reengage_tasks", "DELETE,INSERT,SELECT"),
    ]  # fmt: skip


def test_no_column_of_the_report_could_hold_a_patient(full: Many) -> None:
    """PRV-26: counts, shares, days and names of groups."""
    with full.engine.connect() as connection:
        names = set(
            connection.execute(
                text("SELECT column_name FROM information_schema.columns"
                     " WHERE table_schema = 'report' AND data_type = 'text'")
            ).scalars()
        )  # fmt: skip
    assert names == {
        "campaign", "slice", "level", "arm", "verdict", "experiment", "variant_a", "variant_b",
        "kept",
    }  # fmt: skip
