"""The report: numbers that add up, in the shape that was promised, on a terminal of 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from reengage import report
from reengage.report import Funnel
from reengage.settings import HOME
from rich.console import Console
from sqlalchemy import Engine, create_engine, text

DAY = date(2025, 6, 2)
BEGIN = datetime(2025, 6, 2, 17, 0, tzinfo=UTC)
KEYS = [
    "campaign", "as_of", "living", "inactive", "candidates", "excluded", "eligible", "held_out",
    "withheld", "sent", "refused", "deferred", "unknown", "seconds",
]  # fmt: skip
FULL = Funnel(
    campaign="health_education",
    as_of=DAY,
    mode="live",
    finished=True,
    living=100,
    inactive=29,
    candidates=24,
    excluded={"no_authorization": 5, "minor_without_representative": 4},
    eligible=15,
    held_out=2,
    outcomes={"withheld": 1, "sent": 8, "refused": 1, "deferred": 2, "unknown": 1},
    rehearsed=0,
    seconds={"preflight": 0.31, "send": 12.5},
)


# --- the numbers ---


def test_the_object_has_exactly_the_promised_keys_in_their_order() -> None:
    assert list(FULL.as_json()) == KEYS
    assert json.loads(json.dumps(FULL.as_json())) == FULL.as_json()
    assert FULL.as_json()["as_of"] == "2025-06-02"
    assert FULL.as_json()["excluded"] == {"no_authorization": 5, "minor_without_representative": 4}
    assert FULL.as_json()["seconds"] == {"preflight": 0.31, "send": 12.5}


def test_a_finished_run_adds_up() -> None:
    assert FULL.adds_up
    assert FULL.pending == 0


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": 25}, {"candidates": 23}, {"eligible": 14}, {"eligible": 16}, {"held_out": 3},
        {"rehearsed": 1}, {"excluded": {}}, {"outcomes": {**FULL.outcomes, "sent": 7}},
    ],
)  # fmt: skip
def test_one_patient_more_or_less_does_not_add_up(change: dict[str, int]) -> None:
    assert not replace(FULL, **change).adds_up  # type: ignore[arg-type]


def test_a_run_that_has_not_ended_shows_what_it_owes() -> None:
    stopped = replace(FULL, finished=False, outcomes=dict.fromkeys(FULL.outcomes, 0))
    assert (stopped.pending, stopped.adds_up) == (13, True)
    assert stopped.as_json()["pending"] == 13


def test_a_run_that_has_not_ended_cannot_owe_less_than_nothing() -> None:
    odd = replace(FULL, finished=False, outcomes={**FULL.outcomes, "sent": 20})
    assert (odd.pending, odd.adds_up) == (0, False)


def test_a_rehearsal_shows_its_letters() -> None:
    dry = replace(FULL, mode="dry", rehearsed=13, outcomes=dict.fromkeys(FULL.outcomes, 0))
    assert dry.adds_up
    assert dry.as_json()["rehearsed"] == 13


# --- read from the store ---


@pytest.fixture
def store(store_url: str) -> Iterator[Engine]:
    engine = create_engine(store_url)
    yield engine
    engine.dispose()


def opened(
    store: Engine, *, finished: bool = True, mode: str = "live", day: date = DAY, minute: int = 0,
    extracted: bool = True, campaign: str = "c",
) -> UUID:  # fmt: skip
    run_id = uuid4()
    with store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id,"
                " campaign_sha256, vendor, baa_id, living, inactive, candidates, opened_at,"
                " extracted_at, finished_at) VALUES (:run_id, :campaign, :day, :mode, 'r', '', 'v',"
                " 'b', 100, 29, 6, :at, :extracted, :finished)"
            ),
            {
                "run_id": run_id,
                "campaign": campaign,
                "day": day,
                "mode": mode,
                "at": BEGIN + timedelta(minutes=minute),
                "extracted": BEGIN if extracted else None,
                "finished": BEGIN if finished else None,
            },
        )
    return run_id


def decided(store: Engine, run_id: UUID, *decisions: list[str] | str) -> None:
    """Each decision is a list of reasons, or the arm of an eligible patient."""
    with store.begin() as connection:
        connection.execute(
            text("SELECT ensure_decision_month(campaign_date) FROM run WHERE run_id = :run_id"),
            {"run_id": run_id},
        )
        for number, decision in enumerate(decisions):
            eligible = isinstance(decision, str)
            connection.execute(
                text(
                    "INSERT INTO decision (campaign_date, run_id, patient, reasons, arm)"
                    " SELECT campaign_date, run_id, :patient, :reasons, :arm FROM run"
                    " WHERE run_id = :run_id"
                ),
                {
                    "run_id": run_id,
                    "patient": f"p{number}",
                    "reasons": [] if eligible else decision,
                    "arm": decision if eligible else None,
                },
            )


def wrote(
    store: Engine, run_id: UUID, *states: str, rehearsal: bool = False, campaign: str = "c"
) -> None:
    with store.begin() as connection:
        for state in states:
            connection.execute(
                text(
                    "INSERT INTO letter (campaign, patient, period, rehearsal, run_id,"
                    " campaign_date, sender_run_id, chunk, state, message_id, sealed,"
                    " template_sha256, expires_at) VALUES (:campaign, :patient, 'x', :rehearsal,"
                    " :run_id, :day, :run_id, 0, :state, '', '', '', now())"
                ),
                {
                    "campaign": campaign,
                    "patient": uuid4().hex,
                    "rehearsal": run_id if rehearsal else None,
                    "run_id": run_id,
                    "day": DAY,
                    "state": state,
                },
            )


def stepped(
    store: Engine, run_id: UUID, task: str, begin: int, end: int, *, index: int = -1
) -> None:
    with store.begin() as connection:
        connection.execute(
            text("INSERT INTO step VALUES (:run_id, :task, :index, 1, :begin, :end, 'success')"),
            {
                "run_id": run_id,
                "task": task,
                "index": index,
                "begin": BEGIN + timedelta(seconds=begin),
                "end": BEGIN + timedelta(seconds=end),
            },
        )


def read(store: Engine, day: date | None = None) -> list[Funnel]:
    return report.read_funnels(store, HOME, day)


def test_an_excluded_patient_counts_once_under_the_first_reason(store: Engine) -> None:
    run = opened(store)
    decided(
        store,
        run,
        ["opted_out", "no_address"],
        ["no_address"],
        "holdout",
        "write",
        "write",
        "write",
    )
    wrote(store, run, "sent", "unknown", "withheld")
    (found,) = read(store)
    assert found.excluded == {"no_address": 1, "opted_out": 1}
    assert (found.living, found.inactive, found.candidates) == (100, 29, 6)
    assert (found.eligible, found.held_out) == (4, 1)
    assert found.outcomes == {"withheld": 1, "sent": 1, "refused": 0, "deferred": 0, "unknown": 1}
    assert found.adds_up
    assert list(found.as_json()) == KEYS


def test_data_quality_counts_every_code_that_applies(store: Engine) -> None:
    run_id = opened(store)
    decided(store, run_id, "write", ["deceased", "birth_date_implausible"], ["address_malformed"])
    with store.begin() as connection:
        connection.execute(
            text("UPDATE decision SET notes = '{time_zone_unknown}' WHERE arm IS NOT NULL")
        )
    [found] = read(store)
    assert found.excluded == {"address_malformed": 1, "deceased": 1}
    assert found.as_json()["quality"] == {
        "address_malformed": 1, "birth_date_implausible": 1, "time_zone_unknown": 1,
    }  # fmt: skip
    assert "time_zone_unknown" in printed(found)


def test_a_run_that_failed_on_its_way_shows_what_is_pending(store: Engine) -> None:
    run = opened(store, finished=False)
    decided(store, run, ["no_address"], ["no_address"], "holdout", "write", "write", "write")
    wrote(store, run, "sent", "composed")
    (found,) = read(store)
    assert (found.pending, found.adds_up) == (2, True)


def test_a_run_that_never_read_a_patient_does_not_hide_the_one_before(store: Engine) -> None:
    decided(store, opened(store), "write")
    opened(store, minute=1, extracted=False)
    assert [funnel.eligible for funnel in read(store)] == [1]


def test_a_second_run_of_the_day_shows_the_days_letters(store: Engine) -> None:
    first = opened(store)
    decided(store, first, "write", "write", *[["no_address"]] * 4)
    wrote(store, first, "sent", "sent")
    second = opened(store, minute=1)
    decided(store, second, "write", "write", *[["no_address"]] * 4)
    (found,) = read(store)
    assert (found.outcomes["sent"], found.adds_up) == (2, True)


def test_a_rehearsal_counts_its_own_letters_only(store: Engine) -> None:
    live = opened(store)
    wrote(store, live, "sent", "sent")
    dry = opened(store, minute=1, mode="dry")
    decided(store, dry, "write", *[["no_address"]] * 5)
    wrote(store, dry, "rehearsed", rehearsal=True)
    (found,) = read(store)
    assert (found.mode, found.rehearsed, found.outcomes["sent"]) == ("dry", 1, 0)
    assert found.adds_up


def test_a_day_is_asked_for_by_its_date(store: Engine) -> None:
    opened(store, day=DAY - timedelta(days=1))
    opened(store, minute=1)
    assert [funnel.as_of for funnel in read(store)] == [DAY]
    assert [funnel.as_of for funnel in read(store, DAY - timedelta(days=1))] == [date(2025, 6, 1)]
    assert read(store, DAY - timedelta(days=2)) == []


def test_each_campaign_has_its_own_funnel_in_order(store: Engine) -> None:
    for campaign in ("b", "a"):
        run = opened(store, campaign=campaign)
        wrote(store, run, "sent", campaign=campaign)
    assert [(f.campaign, f.outcomes["sent"]) for f in read(store)] == [("a", 1), ("b", 1)]


def test_a_step_lasts_from_its_first_start_to_its_last_end(store: Engine) -> None:
    run = opened(store)
    stepped(store, run, "send", 10, 14, index=0)
    stepped(store, run, "send", 12, 20, index=1)
    stepped(store, run, "preflight", 0, 1)
    (found,) = read(store)
    assert found.seconds == {"preflight": 1.0, "send": 10.0}
    assert list(found.seconds) == ["preflight", "send"]


def test_of_a_step_that_was_cleared_the_latest_try_counts(store: Engine) -> None:
    run = opened(store)
    stepped(store, run, "extract", 0, 50)
    stepped(store, run, "extract", 100, 102)
    assert read(store)[0].seconds == {"extract": 2.0}


# --- printed ---


def printed(*funnels: Funnel) -> str:
    out = StringIO()
    report.render(funnels, Console(file=out, width=80))
    return out.getvalue()


def test_three_campaigns_with_large_numbers_fit_a_terminal_uncut() -> None:
    large = replace(
        FULL,
        living=12_345_678,
        inactive=12_345_678,
        excluded={"minor_without_representative": 1_234_567, "authorization_incomplete": 1},
        seconds=dict.fromkeys(report.STEPS, 12345.67),
    )
    names = ("appointment_reminder", "health_education", "medication_reminder")
    shown = printed(*(replace(large, campaign=name, mode="replay") for name in names))
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "…" not in shown
    assert shown.count("12,345,678") == 6
    assert "minor_without_representative" in shown
    assert shown.count("12345.67") == 27
    assert "(replay)" in shown


def test_the_table_says_every_outcome_and_reason() -> None:
    shown = printed(FULL)
    labels = {line.strip("│┃ ").split("│")[0].strip() for line in shown.splitlines()}
    assert {
        "living", "inactive", "candidates", "excluded", "no_authorization", "eligible", "held out",
        "withheld", "sent", "refused", "deferred", "unknown", "preflight", "send", "shred",
    } <= labels  # fmt: skip
    assert "pending" not in shown
    assert "rehearsed" not in shown
    assert "do not add up" not in shown


def test_numbers_that_do_not_add_up_are_told() -> None:
    assert "health_education: the numbers do not add up" in printed(replace(FULL, eligible=14))


def test_an_empty_store_says_what_to_do(store: Engine) -> None:
    assert printed(*read(store)) == "No run yet: `make run` makes one.\n"
