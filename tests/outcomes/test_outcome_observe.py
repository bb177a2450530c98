"""What the warehouse says of who is followed, kept under the day on which it was known."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from daily import Practice
from following import EDUCATION, enrolled, known, observed
from reengage.errors import StoreError
from reengage.outcomes.observe import Observed
from reengage.pipeline.run import Run
from sqlalchemy import create_engine, text
from world import DAY, NOW

NOTHING = dict.fromkeys(("returned_at", "booked_at", "appointment_at", "kept", "died_on"))


@pytest.fixture
def run(practice: Practice) -> Run:
    """p0 and p1 are followed from noon of the day on."""
    for key in ("p0", "p1"):
        practice.world.patient(key, appointment=None)
    practice.world.execute("UPDATE contract.load SET data_until = :u", u=NOW + timedelta(days=900))
    return enrolled(practice, NOW)


def visit(practice: Practice, days: float, status: str = "finished", key: str = "p0") -> str:
    """A visit so many days after the follow-up began; gives its key."""
    at = NOW + timedelta(days=days)
    name = f"v{days}{status}"
    practice.world.set(
        "visit", visit_key=name, patient_key=key, start_at=at, end_at=at, status=status,
        service_line="wellness",
    )  # fmt: skip
    return name


def booking(
    practice: Practice, booked: float | None, starts: float, status: str = "booked"
) -> None:
    practice.world.set(
        "appointment", appointment_key=f"a{booked}{starts}", patient_key="p0",
        booked_at=None if booked is None else NOW + timedelta(days=booked),
        start_at=NOW + timedelta(days=starts), location="Clinic", service_line="wellness",
        status=status,
    )  # fmt: skip


def after(days: int) -> date:
    return DAY + timedelta(days=days)


def of(practice: Practice, run: Run, day: date, key: str = "p0") -> dict[str, Any]:
    return known(practice, day).get(run.pseudonym(key), NOTHING)


def test_the_first_finished_visit_after_it_began_counts(practice: Practice, run: Run) -> None:
    for days, status in ((-0.01, "finished"), (2, "cancelled"), (3, "planned"), (5, "finished"),
                         (4, "finished")):  # fmt: skip
        visit(practice, days, status)
    assert observed(practice, after(10)) == Observed(asked=2, changed=1)
    assert of(practice, run, after(10)) == {**NOTHING, "returned_at": NOW + timedelta(days=4)}
    assert of(practice, run, after(10), "p1") == NOTHING


def test_a_day_knows_nothing_of_the_next(practice: Practice, run: Run) -> None:
    visit(practice, 3)
    assert observed(practice, after(2)) == Observed(2, 0)
    assert observed(practice, after(3)) == Observed(2, 1)
    assert of(practice, run, after(2)) == NOTHING
    assert of(practice, run, after(3))["returned_at"] == NOW + timedelta(days=3)


def test_a_visit_entered_late_is_known_from_then_on_and_changes_no_day_before(
    practice: Practice, run: Run
) -> None:
    observed(practice, after(10))
    visit(practice, 4)
    observed(practice, after(11))
    assert of(practice, run, after(10)) == NOTHING
    assert of(practice, run, after(11))["returned_at"] == NOW + timedelta(days=4)


def test_a_visit_that_is_taken_back_is_known_no_more(practice: Practice, run: Run) -> None:
    name = visit(practice, 4)
    observed(practice, after(10))
    practice.world.execute("DELETE FROM contract.visit WHERE visit_key = :v", v=name)
    assert observed(practice, after(11)) == Observed(2, 1)
    assert of(practice, run, after(10))["returned_at"] is not None
    assert of(practice, run, after(11)) == NOTHING


def test_a_booking_made_since_is_known_before_it_is_kept(practice: Practice, run: Run) -> None:
    booking(practice, -3, 12)  # booked before the letter
    booking(practice, None, 13)  # nobody knows when
    booking(practice, 5, 20)
    booking(practice, 6, 15)
    observed(practice, after(10))
    ahead = of(practice, run, after(10))
    assert (ahead["booked_at"], ahead["appointment_at"], ahead["kept"]) == (
        NOW + timedelta(days=5), NOW + timedelta(days=20), None,
    )  # fmt: skip
    observed(practice, after(20))
    assert of(practice, run, after(20))["kept"] is False
    visit(practice, 20.1)
    observed(practice, after(21))
    assert of(practice, run, after(21))["kept"] is True


def test_a_visit_of_the_day_before_keeps_no_appointment(practice: Practice, run: Run) -> None:
    booking(practice, 5, 20)
    visit(practice, 19.2)
    observed(practice, after(21))
    assert of(practice, run, after(21))["kept"] is False


def test_a_reminders_own_appointment_is_the_one_that_is_looked_at(practice: Practice) -> None:
    practice.world.patient("p0")
    practice.world.execute("UPDATE contract.load SET data_until = :u", u=NOW + timedelta(days=900))
    run = enrolled(practice, NOW, "appointment_reminder")
    booking(practice, 1, 3)
    visit(practice, 7.01)
    observed(practice, after(8), "appointment_reminder")
    found = of(practice, run, after(8))
    assert (found["booked_at"], found["appointment_at"], found["kept"]) == (
        None, NOW + timedelta(days=7), True,
    )  # fmt: skip


def test_who_died_is_known_to_have(practice: Practice, run: Run) -> None:
    practice.world.change("patient", "p0", death_date=after(6))
    observed(practice, after(5))
    assert of(practice, run, after(5)) == NOTHING
    observed(practice, after(6))
    assert of(practice, run, after(6))["died_on"] == after(6)


def test_the_group_is_asked_once_and_coarse(practice: Practice, run: Run) -> None:
    visit(practice, -30, key="p0")
    observed(practice, after(1))
    practice.world.change("patient", "p0", language="es", birth_date=date(1930, 1, 1))
    observed(practice, after(2))
    groups = practice.rows(
        "SELECT language, age_band, service_line, described_on FROM follow_up WHERE patient = :p",
        p=run.pseudonym("p0"),
    )
    assert groups == [{"language": "en", "age_band": "40-64", "service_line": "wellness",
                       "described_on": after(1)}]  # fmt: skip


@pytest.mark.parametrize(
    ("born", "band"),
    [("2007-06-03", "0-17"), ("2007-06-02", "18-39"), ("1985-06-02", "40-64"),
     ("1960-06-02", "65-79"), ("1945-06-02", "80+"), ("1920-01-01", "80+")],
)  # fmt: skip
def test_ages_are_bands_and_none_is_above_eighty(practice: Practice, born: str, band: str) -> None:
    """PRV-26: an age of 90 or more tells who it is."""
    practice.world.patient("p0", appointment=None)
    run = enrolled(practice, NOW)
    practice.world.change("patient", "p0", birth_date=date.fromisoformat(born))
    observed(practice, after(1))
    [row] = practice.rows("SELECT age_band FROM follow_up")
    assert (row["age_band"], run.day) == (band, DAY)


def test_a_load_that_lags_behind_is_not_taken_for_days_without_visits(
    practice: Practice, run: Run
) -> None:
    until = NOW + timedelta(days=3)
    practice.world.execute("UPDATE contract.load SET data_until = :u", u=until)
    observed(practice, after(40))
    [day] = practice.rows("SELECT until FROM outcome_day")
    assert day["until"] == until


def test_a_day_before_one_that_was_asked_about_stands(practice: Practice, run: Run) -> None:
    observed(practice, after(5))
    visit(practice, 1)
    assert observed(practice, after(4)) is None
    assert known(practice, after(5)) == {}


def test_a_try_that_is_repeated_replaces_what_nobody_has_reported(
    practice: Practice, run: Run
) -> None:
    visit(practice, 4)
    observed(practice, after(5))
    practice.world.execute("DELETE FROM contract.visit WHERE visit_key = 'v4finished'")
    observed(practice, after(5))
    assert known(practice, after(5)) == {}


def test_a_patient_is_asked_about_until_30_days_after_the_last_and_then_forgotten(
    practice: Practice, run: Run
) -> None:
    """PRV-26: what names the patient goes when nobody needs it."""
    observed(practice, after(208))
    assert practice.rows("SELECT 1 AS n FROM follow_up_key") == [{"n": 1}]
    assert observed(practice, after(212)) == Observed(0, 0)
    assert practice.rows("SELECT 1 AS n FROM follow_up_key") == []


def test_a_letter_that_never_left_stays_in_its_arm(practice: Practice) -> None:
    """Intention to treat."""
    for key in ("p0", "p1"):
        practice.world.patient(key, appointment=None)
    run = practice.open()
    practice.hurry(run)
    with run.store.begin() as connection:
        connection.execute(
            text(
                "UPDATE letter SET state = CASE WHEN patient = :p THEN 'sent' ELSE 'withheld' END"
            ),
            {"p": run.pseudonym("p1")},
        )
    observed(practice, after(1))
    found = practice.rows("SELECT patient, arm, written_on FROM follow_up")
    assert {row["patient"]: (row["arm"], row["written_on"]) for row in found} == {
        run.pseudonym("p0"): ("write", None), run.pseudonym("p1"): ("write", after(1)),
    }  # fmt: skip


def test_a_warehouse_that_does_not_answer_is_told_without_a_value(
    practice: Practice, run: Run
) -> None:
    practice.world.execute("DROP TABLE contract.visit")
    with pytest.raises(StoreError, match="does not answer what became of patients") as raised:
        observed(practice, after(1))
    assert "p0" not in str(raised.value)


def test_the_extractors_role_may_ask(practice: Practice, run: Run) -> None:
    from reengage import warehouse

    with practice.world.engine.begin() as connection:
        warehouse.grant_reader(connection)
    url = create_engine(practice.world.url).url.set(username=warehouse.READER)
    asking = practice.settings.__class__(
        **{**practice.settings.__dict__, "warehouse_url": url.render_as_string(False)}
    )
    practice.settings = asking
    assert observed(practice, after(1), EDUCATION) == Observed(2, 0)
