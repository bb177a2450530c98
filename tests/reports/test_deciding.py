"""What people decide on the pages: pauses, questions, approvals; and what staff were told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from uuid import UUID

import pytest
from reengage import store
from reengage.embedded.home import copy_home
from reengage.keys import open_keyring
from reengage.pipeline import approvals, required
from reengage.pipeline.required import Place
from reengage.pipeline.run import derive_run_id
from reengage.settings import HOME

from reports.conftest import CAMPAIGN, DAG, DAG_RUN, Reports

pytestmark = pytest.mark.usefixtures("unheld")

HOLD = f"/campaigns/{CAMPAIGN}/hold"
PAUSE = {"state": "paused", "reason": "a wrong telephone number in it"}
RESUME = {"state": "on", "reason": "the text was mended"}
SMALL = "Health education, 2025-06-02: 7 letters are due. Write them?"
DIGEST = "ab" * 32
UNTOLD = "is stopped; the Compliance Officer knows why."


@pytest.fixture
def running(reports: Reports) -> Iterator[Reports]:
    """The run is not settled yet."""
    reports.practice.spoil("UPDATE run SET finished_at = NULL")
    yield reports
    reports.practice.spoil("UPDATE run SET finished_at = now()")


def holds(reports: Reports) -> list[dict[str, object]]:
    return reports.practice.rows("SELECT paused, decided_by, reason FROM campaign_pause")


def test_an_officer_pauses_a_campaign_and_every_page_of_it_says_so(running: Reports) -> None:
    reports = running
    before = len(reports.accesses())
    answer = reports.post(HOLD, PAUSE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/campaigns/{CAMPAIGN}#hold")
    assert holds(reports) == [
        {"paused": True, "decided_by": "airflow:officer", "reason": PAUSE["reason"]}
    ]
    [record] = reports.accesses()[before:]
    assert (record["actor"], record["action"], record["of"]) == (
        "airflow:officer", "paused", f"campaign/{CAMPAIGN}",
    )  # fmt: skip
    assert record["detail"] == {"reason": PAUSE["reason"]}
    for path in ("/", f"/campaigns/{CAMPAIGN}", reports.run_path):
        for who in ("officer", "admin"):
            assert "paused by airflow:officer" in reports.get(path, who).text.replace("P", "p")
        for who in ("analyst", "engineer"):
            assert UNTOLD in reports.get(path, who).text
            assert PAUSE["reason"] not in reports.get(path, who).text
    assert f"{PAUSE['reason']}" in reports.get("/compliance/approvals").text
    assert reports.post(HOLD, RESUME).status_code == 303
    for path in ("/", f"/campaigns/{CAMPAIGN}", reports.run_path):
        assert "paused by airflow:officer" not in reports.get(path).text.replace("P", "p")


def test_a_run_that_is_over_is_not_said_to_be_held(reports: Reports) -> None:
    assert reports.post(HOLD, PAUSE).status_code == 303
    assert "The campaign is paused" not in reports.get(reports.run_path).text


def test_who_is_second_is_told_and_nothing_is_decided_twice(reports: Reports) -> None:
    assert reports.post(HOLD, PAUSE).status_code == 303
    before = len(reports.accesses())
    again = reports.post(HOLD, PAUSE)
    assert again.status_code == 409
    assert "It stands so already" in again.text
    assert len(holds(reports)) == 1
    assert len(reports.accesses()) == before
    reports.post(HOLD, RESUME)
    assert reports.post(HOLD, RESUME).status_code == 409


@pytest.mark.parametrize(
    "form",
    [{"state": "paused"}, {"reason": "no state"}, {**PAUSE, "state": "off"},
     {**PAUSE, "reason": "ab"}, {**PAUSE, "reason": "ask p1@example.org"},
     {**PAUSE, "reason": "record 4711471"}, {**PAUSE, "reason": "x" * 300},
     {**PAUSE, "reason": "a\x00b\x1b[2J"}, {**PAUSE, "state": "<script>alert(1)</script>"}],
)  # fmt: skip
def test_a_pause_needs_a_state_and_a_reason_that_names_nobody(
    form: dict[str, str], reports: Reports
) -> None:
    answer = reports.post(HOLD, form)
    assert answer.status_code == 400
    assert "example.org" not in answer.text
    assert "<script>alert" not in answer.text
    assert holds(reports) == []


def test_a_reason_is_shown_as_text(reports: Reports) -> None:
    assert reports.post(HOLD, {**PAUSE, "reason": '<b>bold</b> & "so"'}).status_code == 303
    for path in ("/", f"/campaigns/{CAMPAIGN}", "/compliance/approvals", "/compliance/access"):
        text = reports.get(path).text
        assert "&lt;b&gt;bold" in text
        assert "<b>bold" not in text


def test_another_sites_form_pauses_nothing(reports: Reports) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert reports.post(HOLD, PAUSE, **headers).status_code == 403
    assert holds(reports) == []


@pytest.mark.parametrize("slug", ["nosuch", "..%2f..%2fetc", "x" * 3000])
def test_what_is_no_campaign_is_not_paused(slug: str, reports: Reports) -> None:
    assert reports.post(f"/campaigns/{slug}/hold", PAUSE).status_code == 404
    assert holds(reports) == []


def asked(reports: Reports, task: str = "plan", map_index: int = -1, minutes: int = 60) -> Place:
    """A task of the run asks."""
    settings = reports.practice.settings
    place = Place(derive_run_id(DAG, DAG_RUN), DAG, DAG_RUN, task, map_index)
    things = {"plan": {f"cohort/{CAMPAIGN}": DIGEST}, "preflight": {"template/x": DIGEST}}
    required.note(
        settings, place, SMALL, things.get(task, {}), settings.now() + timedelta(minutes=minutes)
    )
    return place


@pytest.fixture
def unasked(reports: Reports) -> Iterator[Reports]:
    yield reports
    reports.practice.spoil("DELETE FROM question", "DELETE FROM pause")


def test_a_question_leads_to_airflows_page_of_its_task(unasked: Reports) -> None:
    asked(unasked)
    path = f"/dags/{DAG}/runs/manual__2025-06-02T17%3A00%3A00%2B00%3A00/tasks/plan/required_actions"
    for page in ("/", unasked.run_path, "/compliance/approvals"):
        text = unasked.get(page).text
        assert SMALL in text, page
        assert f'<a href="{path}" data-outside>' in text, page


def test_an_analyst_learns_that_it_waits_and_no_small_number(unasked: Reports) -> None:
    """PRV-27: the subject says how many letters are due."""
    asked(unasked)
    for page in ("/", unasked.run_path):
        text = unasked.get(page, "analyst").text
        assert "7 letters" not in text
        assert "waits for an answer: an unusual number of letters" in text
        assert "required_actions" not in text


def test_what_is_answered_or_too_late_waits_no_more(unasked: Reports) -> None:
    place = asked(unasked)
    required.close(unasked.practice.settings, place)
    assert SMALL not in unasked.get("/").text
    asked(unasked, minutes=-1)
    assert SMALL not in unasked.get("/").text
    asked(unasked)
    assert SMALL in unasked.get("/").text  # asked again


def test_a_pause_that_was_decided_elsewhere_waits_no_more(unasked: Reports) -> None:
    place = asked(unasked, "send", 3)
    assert place.path.endswith("/tasks/send/mapped/3/required_actions")
    assert SMALL not in unasked.get("/").text
    unasked.practice.spoil(
        "INSERT INTO pause (run_id, number, chunk, until, letters, refused, errors, reasons)"
        f" VALUES ('{place.run_id}', 1, 3, now(), 20, 9, 0, '{{}}')"
    )
    assert unasked.get("/").text.count("mapped/3/required_actions") == 1
    assert "waits for approval." not in unasked.get("/").text  # it is said once


def decided(reports: Reports, run_id: UUID | None, verdict: approvals.Verdict) -> None:
    settings = reports.practice.settings
    keyring = open_keyring(settings.keyring)
    with store.connect(settings.store_url).begin() as connection:
        approvals.decide(
            connection, keyring, {"template/health_education": DIGEST}, verdict,
            by="olga", reason="read both <languages>", run_id=run_id,
        )  # fmt: skip


def test_what_was_approved_is_listed_with_who_when_digest_and_run(reports: Reports) -> None:
    decided(reports, reports.run_id, "approved")
    decided(reports, None, "rejected")
    text = reports.get("/compliance/approvals").text
    rows = re.findall(r"<tr>.*?</tr>", text[text.index('id="decided"') :], re.S)
    line, asked_by_hand = rows[2], rows[1]
    for said in ("template/health_education", DIGEST[:12], "olga", "read both &lt;languages&gt;",
                 "approved", f'href="/dags/{DAG}/runs/'):  # fmt: skip
        assert said in line, said
    assert "the command line" in asked_by_hand
    assert "rejected" in asked_by_hand


def test_what_nobody_approved_yet_is_listed_with_its_digest(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(HOME, tmp_path / "home")
    file = home / "campaigns" / f"{CAMPAIGN}.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    monkeypatch.setenv("REENGAGE_HOME", str(home))
    text = reports.get("/compliance/approvals").text
    part = text[text.index('id="changed"') : text.index('id="decided"')]
    assert f"campaign/{CAMPAIGN}</code>" in part
    assert ">changed</span>" in part


MORE = """
complaints: {share: 0.01, at_least: 2, within_days: 30}
variants: {experiment: warmer, weights: {plain: 1, warm: 1}, horizon_days: 30}
"""


@pytest.fixture
def complained(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reports]:
    """Two of the campaign's letters were called spam, and an experiment is decided."""
    home = copy_home(HOME, tmp_path / "home")
    file = home / "campaigns" / f"{CAMPAIGN}.yaml"
    file.write_text(file.read_text(encoding="utf-8") + MORE, encoding="utf-8")
    letter = home / "templates" / CAMPAIGN
    for variant in ("plain", "warm"):
        for language in ("en", "es"):
            copytree(letter / language, letter / variant / language)
    monkeypatch.setenv("REENGAGE_HOME", str(home))
    reports.practice.spoil(
        "INSERT INTO response (item, source, kind, verdict, letter_id, at) SELECT letter_id::text,"
        " 'spool', 'complaint', 'complaint', letter_id, now() FROM letter WHERE state = 'sent'"
        " LIMIT 2",
        "INSERT INTO report.experiment VALUES ('health_education', 'warmer', '2025-06-01', 30,"
        " 'plain', 'warm', '2025-06-01', 500, 100, 500, 160, -0.12, -0.2, -0.04, 44, 20, 'b',"
        " NULL)",
    )
    yield reports
    reports.practice.spoil(
        "DELETE FROM response", "DELETE FROM came_back", "DELETE FROM report.experiment"
    )


def test_complaints_that_stop_a_campaign_need_a_person(complained: Reports) -> None:
    assert "is stopped: too many of its letters were called spam" in complained.get("/").text
    page = complained.get(f"/campaigns/{CAMPAIGN}").text
    assert "suppressions continue health_education" in page
    complained.practice.spoil("DELETE FROM response WHERE ctid IN (SELECT min(ctid) FROM response)")
    assert "called spam" not in complained.get("/").text


def test_an_analyst_cannot_tell_complaints_from_a_pause(complained: Reports) -> None:
    """PRV-27: that the limit is reached would narrow a number of complaints that is hidden."""
    reports = complained
    paths = ("/", f"/campaigns/{CAMPAIGN}", reports.run_path)

    def shown() -> list[str]:
        return [reports.get(path, "analyst").text for path in paths]

    reports.practice.spoil("UPDATE run SET finished_at = NULL")
    by_complaints = shown()
    for path in paths:  # who sees their number is told no more than that
        page = reports.get(path, "engineer").text
        assert (UNTOLD in page, "spam" in page) == (True, False)
    reports.post(HOLD, PAUSE)
    by_both = shown()
    reports.practice.spoil("DELETE FROM response", "DELETE FROM came_back")
    by_a_pause = shown()
    reports.post(HOLD, RESUME)
    by_nothing = shown()
    reports.practice.spoil("UPDATE run SET finished_at = now()")
    assert by_complaints == by_both == by_a_pause
    for stopped, goes_on in zip(by_complaints, by_nothing, strict=True):
        assert (stopped.count(UNTOLD), "spam" in stopped) == (1, False)
        assert UNTOLD not in goes_on
        assert RESUME["reason"] not in goes_on


def test_an_experiment_that_is_decided_needs_a_person_until_one_keeps_a_variant(
    complained: Reports,
) -> None:
    assert "warm brings more patients back; which letter stays?" in complained.get("/").text
    complained.practice.spoil("UPDATE report.experiment SET kept = 'warm'")
    assert "which letter stays" not in complained.get("/").text


@pytest.fixture
def told(reports: Reports) -> Iterator[Reports]:
    """Staff were told two things lately, and one long ago."""
    reports.practice.spoil(
        "INSERT INTO alert_channel (kind, key, about, channel, taken, why, at) VALUES"
        f" ('failed', '{DAG}/manual__1/gate', '{DAG}', 'e-mail', true, NULL, now()),"
        f" ('failed', '{DAG}/manual__1/gate', '{DAG}', 'webhook 1', false, 'ConfigurationError',"
        "  now()),"
        f" ('question', '{DAG}/manual__2/plan/{SMALL}', '{DAG}', 'e-mail', true, NULL, now()),"
        " ('agreement', 'relayco/warning', 'relayco', 'e-mail', true, NULL, now() - interval '9 d')"
    )
    yield reports
    reports.practice.spoil("DELETE FROM alert_channel")


def test_alerts_are_listed_by_channel_with_what_became_of_them(told: Reports) -> None:
    text = told.get("/compliance/alerts").text
    assert "not taken: ConfigurationError" in text
    assert "manual__1/gate" in text
    assert "relayco" in text
    overview = told.get("/").text
    assert "manual__1/gate" in overview
    assert "relayco" not in overview  # nine days ago


def test_an_analyst_is_told_no_alert_as_one_may_hold_a_small_number(told: Reports) -> None:
    assert "7 letters" in told.get("/").text
    assert "7 letters" not in told.get("/", "analyst").text


def test_where_alerts_go_is_said_and_no_webhooks_address(
    reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nobody is told." in reports.get("/compliance/alerts").text
    home = copy_home(HOME, tmp_path / "home")
    file = home / "practice.yaml"
    entry = "alerts: {email: [it@prairie.example.org], vendor: embedded}\n"
    file.write_text(file.read_text(encoding="utf-8") + entry, encoding="utf-8")
    monkeypatch.setenv("REENGAGE_HOME", str(home))
    monkeypatch.setenv("REENGAGE_ALERT_WEBHOOKS", "https://hooks.example.org/secret-token")
    text = reports.get("/compliance/alerts").text
    assert "e-mail to it@prairie.example.org through embedded, and by 1 webhook" in text
    assert "secret-token" not in text
    assert "hooks.example.org" not in text
