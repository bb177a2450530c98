"""Two variants of a template: drawn, written, read, and ended by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from daily import Practice
from following import EDUCATION, Many, two_variants
from reengage import outcome_report
from reengage.campaigns import load_campaign
from reengage.errors import ConfigurationError
from reengage.keys import Keyring, ensure_keyring
from reengage.outcomes import experiments
from reengage.outcomes.publish import read_told
from reengage.outcomes.sequential import NEEDED
from reengage.pipeline.send import send
from reengage.settings import HOME
from simulators.smtp import HostileRelay
from sqlalchemy import text

pytestmark = pytest.mark.long

SLUG = EDUCATION
LAST = date(2026, 9, 15)


@pytest.fixture
def trying(practice: Practice) -> Practice:
    two_variants(practice.settings.home)
    for number in range(12):
        practice.world.patient(f"p{number}", appointment=None)
    return practice


# --- the campaign's file and its templates ---


def test_each_variant_is_checked_like_any_template(home: Path) -> None:
    two_variants(home)
    assert load_campaign(home, SLUG).folders() == {
        "plain": f"{SLUG}/plain", "warm": f"{SLUG}/warm",
    }  # fmt: skip
    (home / "templates" / SLUG / "warm" / "es" / "body.txt").write_text("Hola", "utf-8")
    with pytest.raises(ConfigurationError, match=r"health_education/warm/es/body.txt does not use"):
        load_campaign(home, SLUG)


@pytest.mark.parametrize(
    "variants",
    ["variants: {experiment: try, weights: {plain: 1}}\n",
     "variants: {experiment: try, weights: {plain: 1, warm: 0}}\n",
     "variants: {experiment: try, weights: {plain: 1, warm: 1, hot: 1}}\n",
     "variants: {experiment: try, weights: {plain: 1, warm: 1}, horizon_days: 45}\n"],
)  # fmt: skip
def test_anything_but_two_variants_with_weights_is_refused(home: Path, variants: str) -> None:
    two_variants(home, variants)
    with pytest.raises(ConfigurationError):
        load_campaign(home, SLUG)


# --- drawn and written ---


def test_a_patient_is_written_to_in_the_variant_that_was_drawn(
    trying: Practice, hostile: HostileRelay
) -> None:
    run = trying.open()
    for chunk in trying.compose(run):  # through the real suites
        send(run, chunk)
    rows = trying.rows(
        "SELECT f.variant, l.template_sha256, l.message_id, l.state FROM follow_up f"
        " JOIN letter l USING (campaign, patient, period)"
    )
    said = {}
    for letter in hostile.letters:
        message = message_from_bytes(letter.content, policy=SMTP)
        body = message.get_body(("plain",))
        assert body is not None
        said[message["Message-ID"]] = "We miss you." in body.get_content()
    assert {row["state"] for row in rows} == {"sent"}
    assert {row["variant"] for row in rows} == {"plain", "warm"}
    assert all(said[row["message_id"]] == (row["variant"] == "warm") for row in rows)
    disclosed = trying.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,template_sha256}' AS d"
        " FROM ledger_entry WHERE kind = 'disclosure'"
    )
    assert {row["d"] for row in disclosed} == {row["template_sha256"] for row in rows}
    assert len({row["template_sha256"] for row in rows}) == 2


def test_the_draw_is_fixed_for_patient_and_experiment_and_as_heavy_as_its_weight(
    trying: Practice,
) -> None:
    from reengage.pipeline.variants import Drawing

    run = trying.open()
    drawing = Drawing(run, None)
    people = [run.pseudonym(f"q{n}") for n in range(2000)]
    drawn = [drawing.draw(one) for one in people]
    assert drawn == [drawing.draw(one) for one in people]
    assert 900 < drawn.count("warm") < 1100
    path = trying.settings.home / "campaigns" / f"{SLUG}.yaml"
    path.write_text(path.read_text("utf-8").replace("warm: 1", "warm: 4"), "utf-8")
    heavier = Drawing(trying.open(), None)
    assert 1520 < [heavier.draw(one) for one in people].count("warm") < 1680
    assert Drawing(run, "plain").draw(people[0]) == "plain"


# --- read ---


@pytest.fixture
def campaign(home: Path) -> object:
    two_variants(home)
    return load_campaign(home, SLUG)


@pytest.fixture
def many(store_url: str) -> Iterator[Many]:
    made = Many.put(store_url, {"write": 1500}, variants={"plain": 0.3, "warm": 0.6}, days=150)
    yield made
    made.engine.dispose()


def reading(many: Many, day: date | None = None) -> experiments.Reading:
    with many.engine.connect() as connection:
        found = outcome_report.read_experiment(connection, SLUG, day)
    assert found is not None
    assert found.name == "try"
    return found.reading


def test_a_difference_is_read_with_its_evidence(many: Many, campaign: object) -> None:
    many.publish(LAST, campaign)
    found = reading(many)
    assert (found.variant_a, found.variant_b, found.verdict) == ("plain", "warm", "b")
    assert (found.evidence or 0) > NEEDED
    assert (found.high or 0) < 0
    assert (found.mature_a or 0) + (found.mature_b or 0) == 1500
    before = many.report()
    many.publish(LAST, campaign)
    assert many.report() == before


def test_without_a_difference_it_stays_open(store_url: str, campaign: object) -> None:
    many = Many.put(store_url, {"write": 2000}, variants={"plain": 0.4, "warm": 0.4})
    many.publish(LAST, campaign)
    assert reading(many).verdict == "open"
    many.engine.dispose()


def test_too_few_patients_tell_nothing(store_url: str, campaign: object) -> None:
    many = Many.put(store_url, {"write": 40}, variants={"plain": 0.1, "warm": 0.9})
    many.publish(LAST, campaign)
    found = reading(many)
    assert (found.verdict, found.mature_a, found.evidence) == ("withheld", None, None)
    many.engine.dispose()


def test_a_reading_is_made_of_what_the_report_tells_and_of_nothing_else(
    many: Many, campaign: object
) -> None:
    many.publish(date(2026, 3, 5), campaign)
    first = reading(many)
    assert first.counted_on == date(2026, 3, 5)
    many.execute("UPDATE outcome SET known_on = '2026-03-06', returned_at = NULL"
                 " WHERE follow_up_id % 3 = 0")  # fmt: skip
    many.publish(date(2026, 3, 6), campaign)  # nothing is due
    assert reading(many) == first
    many.publish(date(2026, 4, 2), campaign)
    second = reading(many)
    with many.engine.connect() as connection:
        told = read_told(connection, SLUG, date.max)
    groups = experiments.groups_of(told, "try", ("plain", "warm"), 30)
    assert len(groups) == 2
    assert second.mature_a == sum(a.patients for a, _ in groups)
    assert second.returned_b == sum(b.returned for _, b in groups)


def test_who_counts_in_no_report_counts_in_no_experiment(many: Many, campaign: object) -> None:
    many.execute("UPDATE follow_up SET counts = false WHERE begins_at >= '2026-02-01'")
    many.publish(LAST, campaign)
    found = reading(many)
    with many.engine.connect() as connection:
        counted = connection.execute(text("SELECT count(*) FROM follow_up WHERE counts")).scalar()
    assert (found.mature_a or 0) + (found.mature_b or 0) == counted


@pytest.mark.parametrize(
    ("found", "told"), [(1.0, 1.0), (19.99, 19.0), (20.0, 20.0), (0.0123, 0.012), (987.6, 980.0),
                        (1e9, 1e9), (0.0, 0.0)],
)  # fmt: skip
def test_evidence_is_told_in_two_digits_and_never_rounded_up(found: float, told: float) -> None:
    assert experiments.floored(found) == told


# --- ended ---


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


def test_a_person_ends_it_and_everybody_gets_what_was_kept(trying: Practice) -> None:
    run = trying.open()
    with run.store.begin() as connection:
        experiments.stop(connection, run.keyring, run.campaign, keep="warm", by="olga",
                         because="the evidence is there")  # fmt: skip
    trying.hurry(run)
    rows = trying.rows("SELECT variant, experiment FROM follow_up")
    assert {(row["variant"], row["experiment"]) for row in rows} == {(None, None)}
    digests = {row["template_sha256"] for row in trying.rows("SELECT template_sha256 FROM letter")}
    from reengage.templates import load_template

    assert digests == {load_template(trying.settings.home, f"{SLUG}/warm", "en").digest}
    [record] = trying.rows(
        "SELECT convert_from(entry, 'UTF8') AS said FROM ledger_entry WHERE kind = 'access'"
    )
    body = json.loads(str(record["said"]))["body"]
    assert (body["actor"], body["action"], body["of"]) == (
        "olga", "approved", f"experiment/{SLUG}/try",
    )  # fmt: skip
    assert body["detail"]["kept"] == "warm"


def test_what_was_ended_shows_in_its_reading(
    many: Many, campaign: object, keyring: Keyring
) -> None:
    many.publish(LAST, campaign)
    assert reading(many).kept is None
    with many.engine.begin() as connection:
        experiments.stop(connection, keyring, campaign, keep="warm", by="olga",  # type: ignore[arg-type]
                         because="the evidence is there")  # fmt: skip
        connection.execute(text("SELECT 1"))
    later = date(2999, 1, 1) + timedelta(days=1)
    with many.engine.connect() as connection:
        assert experiments._kept(connection, SLUG, "try", later) == "warm"
        assert experiments._kept(connection, SLUG, "try", LAST - timedelta(days=9999)) is None


def test_it_is_ended_once_and_for_a_variant_that_there_is(
    many: Many, campaign: object, keyring: Keyring
) -> None:
    def end(keep: str, of: object = campaign) -> None:
        with many.engine.begin() as connection:
            experiments.stop(
                connection, keyring, of, keep=keep, by="olga", because="why",  # type: ignore[arg-type]
            )  # fmt: skip

    with pytest.raises(ConfigurationError, match="has no variant 'hot'; it has plain, warm"):
        end("hot")
    with pytest.raises(ConfigurationError, match="compares nothing"):
        end("warm", load_campaign(HOME, SLUG))
    end("warm")
    with pytest.raises(ConfigurationError, match="was ended before, 'warm' was kept"):
        end("plain")


def test_the_tasks_may_end_no_experiment(many: Many) -> None:
    with many.engine.connect() as connection:
        allowed = connection.execute(
            text("SELECT has_table_privilege('reengage_tasks', 'experiment_stop', 'INSERT'),"
                 " has_table_privilege('reengage_tasks', 'experiment_stop', 'SELECT')")
        ).one()  # fmt: skip
    assert tuple(allowed) == (False, True)
