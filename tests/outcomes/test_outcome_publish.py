"""The report's tables: the same whenever they are made, and nothing of a patient in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from following import Many
from reengage import outcome_report
from reengage.embedded.postgres import Postgres
from reengage.errors import StoreError
from rich.console import Console
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

BEGUN = date(2026, 1, 1)
DAYS = [BEGUN + timedelta(days=n) for n in (20, 45, 46, 47, 75, 110, 160, 250)]


@pytest.fixture
def many(store_url: str) -> Iterator[Many]:
    made = Many.put(store_url, {"write": 1500, "holdout": 500})
    yield made
    made.engine.dispose()


def read(many: Many, day: date | None = None) -> outcome_report.CampaignReport:
    with many.engine.connect() as connection:
        [found] = outcome_report.read_report(connection, "health_education", day)
    return found


def everybody(many: Many, day: date, arm: str, horizon: int) -> outcome_report.Line:
    [line] = [
        one for one in read(many, day).lines
        if (one.slice, one.arm, one.horizon_days) == ("all", arm, horizon)
    ]  # fmt: skip
    return line


def counted(many: Many, arm: str, horizon: int, day: date) -> tuple[int, int]:
    """The plain count: follow-ups whose horizon is over, and those of them who came back within."""
    until = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    with many.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT begins_at, returned_at FROM follow_up LEFT JOIN outcome USING"
                 " (follow_up_id) WHERE arm = :arm"),
            {"arm": arm},
        ).all()  # fmt: skip
    length = timedelta(days=horizon)
    over = [row for row in rows if row.begins_at + length <= until]
    back = [r for r in over if r.returned_at and r.returned_at < r.begins_at + length]
    return len(over), len(back)


def test_the_numbers_are_those_of_a_plain_count(many: Many) -> None:
    for day in DAYS:
        many.publish(day)
    for day in DAYS:
        for arm in ("write", "holdout"):
            for horizon in (30, 60, 90, 180):
                line = everybody(many, day, arm, horizon)
                if line.counted_on == day:
                    assert (line.mature, line.returned) == counted(many, arm, horizon, day)
    last = everybody(many, DAYS[-1], "write", 180)
    assert (last.counted_on, last.enrolled, last.mature) == (DAYS[-1], 1500, 1500)


def test_who_was_written_to_last_week_is_not_counted_as_not_returned(many: Many) -> None:
    day = BEGUN + timedelta(days=45)
    many.publish(day)
    line = everybody(many, day, "write", 30)
    assert line.mature is not None
    assert 0 < line.mature < (line.enrolled or 0)
    assert everybody(many, day, "write", 60).mature == 0


def test_a_past_days_report_made_again_is_the_same(many: Many) -> None:
    for day in DAYS:
        many.publish(day)
    before = many.report()
    for day in reversed(DAYS):
        many.publish(day)
    assert many.report() == before
    many.execute("TRUNCATE report.published, report.outcome, report.effect, report.return_curve")
    for day in DAYS:
        many.publish(day)
    assert many.report() == before


def test_what_becomes_known_later_changes_no_earlier_report(many: Many) -> None:
    for day in DAYS[:5]:
        many.publish(day)
    before = many.report()
    many.execute(
        "INSERT INTO outcome (follow_up_id, known_on, returned_at) SELECT follow_up_id, :day,"
        " begins_at + INTERVAL '1 hour' FROM follow_up WHERE follow_up_id NOT IN"
        " (SELECT follow_up_id FROM outcome)",
        day=DAYS[5],
    )
    for day in DAYS[:5]:
        many.publish(day)
    assert many.report() == before
    many.publish(DAYS[5])
    line = everybody(many, DAYS[5], "write", 30)
    assert line.rate is not None
    assert line.rate > 0.7


def test_a_day_nobody_asked_about_has_no_report(many: Many) -> None:
    from reengage.campaigns import load_campaign
    from reengage.outcomes.publish import publish
    from reengage.settings import HOME

    with pytest.raises(StoreError, match="nobody has asked the warehouse what became of health"):
        publish(many.settings, load_campaign(HOME, "health_education"), BEGUN)


def test_a_few_patients_more_do_not_show_from_one_day_to_the_next(many: Many) -> None:
    many.publish(DAYS[-1])
    many.execute(
        "DELETE FROM outcome WHERE follow_up_id IN"
        " (SELECT follow_up_id FROM outcome ORDER BY follow_up_id LIMIT 3)"
    )
    following = DAYS[-1] + timedelta(days=1)
    many.publish(following)
    first, second = (everybody(many, day, "write", 30) for day in (DAYS[-1], following))
    assert second == first
    assert second.counted_on == DAYS[-1]


def test_the_effect_is_that_of_the_numbers_that_are_told(many: Many) -> None:
    many.publish(DAYS[-1])
    report = read(many)
    [effect] = [e for e in report.effects if (e.slice, e.horizon_days) == ("all", 90)]
    write, holdout = (everybody(many, DAYS[-1], arm, 90) for arm in ("write", "holdout"))
    assert effect.verdict == "more"
    assert effect.difference == pytest.approx((write.rate or 0) - (holdout.rate or 0))
    assert effect.needed == pytest.approx(1 / (effect.difference or 1))
    assert {e.verdict for e in report.effects if e.slice == "language"} >= {"more"}


def test_the_curve_ends_where_the_table_does(many: Many) -> None:
    many.publish(DAYS[-1])
    report = read(many)
    for arm in ("write", "holdout"):
        points = [one for one in report.curve if one.arm == arm]
        line = everybody(many, DAYS[-1], arm, 180)
        assert points[-1].day == 180
        assert points[-1].returned == pytest.approx(line.rate, abs=6e-4)
        shares = [one.returned for one in points]
        assert shares == sorted(shares)
        assert len(points) > 8


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


def test_it_is_printed_with_intervals_and_words(many: Many) -> None:
    many.publish(DAYS[-1])
    shown = printed(read(many))
    assert "Who came back" in shown
    assert "more came back of those written to" in shown
    assert "By age band" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def printed(report: outcome_report.CampaignReport) -> str:
    out = StringIO()
    outcome_report.render(report, Console(file=out, width=100))
    return out.getvalue()


# --- who may read it ---


@pytest.fixture
def as_reporter(server: Postgres, many: Many) -> Iterator[Engine]:
    with many.engine.begin() as connection:
        known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = 'test_reporter'"))
        if not known.first():
            connection.execute(text("CREATE ROLE test_reporter LOGIN"))
        connection.execute(text("GRANT reengage_reporter TO test_reporter"))
    engine = create_engine(many.engine.url.set(username="test_reporter"))
    yield engine
    engine.dispose()


def test_the_reporter_reads_the_report_and_nothing_else(many: Many, as_reporter: Engine) -> None:
    many.publish(DAYS[-1])
    with as_reporter.connect() as connection:
        assert outcome_report.read_report(connection, "health_education")
    for table in ("follow_up", "follow_up_key", "outcome", "letter", "decision", "ledger_entry"):
        with as_reporter.connect() as connection, pytest.raises(ProgrammingError):
            connection.execute(text(f"SELECT * FROM public.{table}"))
    with as_reporter.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("DELETE FROM report.outcome"))


def test_nobody_else_reads_the_report_but_the_task_that_writes_it(many: Many) -> None:
    with many.engine.connect() as connection:
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


def test_no_column_of_the_report_could_hold_a_patient(many: Many) -> None:
    """PRV-26: counts, shares, days and names of groups."""
    with many.engine.connect() as connection:
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
