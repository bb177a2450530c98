"""What the pages say: the numbers of `report`, nothing of a patient, clear words to bad asking."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from reengage.embedded.home import copy_home
from reengage.report import read_funnels
from reengage.reports import guard
from reengage.reports.files import campaigns_of
from reengage.settings import HOME
from sqlalchemy import create_engine

from reports.conftest import CAMPAIGN, DAG, DAG_RUN, PATIENTS, Reports, cells, make_unknown

PAGES = ("/", f"/campaigns/{CAMPAIGN}", "/compliance", "/compliance/ledger", "/compliance/access",
         "/compliance/agreements", "/compliance/approvals", "/compliance/unknown",
         "/compliance/keys", "/compliance/ledger/0")  # fmt: skip


def numbers(html: str, name: str) -> dict[str, str]:
    """Count of each code of the funnel, as the page has it."""
    line = r'data-label="Code"[^>]*>(?:<code[^>]*>)?([a-z_]+)?.*?data-label="Count"[^>]*>(.*?)</td>'
    found = re.findall(line, html, re.S)
    return {code: re.sub(r"<[^>]*>", "", n) for code, n in found if code}


def test_the_numbers_are_those_of_report_and_of_a_direct_sum(reports: Reports) -> None:
    engine = create_engine(reports.practice.settings.store_url)
    funnel = next(one for one in read_funnels(engine, HOME) if one.campaign == CAMPAIGN)
    engine.dispose()
    page = numbers(reports.get(reports.run_path).text, "funnel")
    states = {
        str(row["state"]): int(str(row["n"]))
        for row in reports.practice.rows("SELECT state, count(*) AS n FROM letter GROUP BY state")
    }
    assert page["no_authorization"] == "3" == str(funnel.excluded["no_authorization"])
    assert page["sent"] == str(states["sent"]) == str(funnel.outcomes["sent"])
    [row] = [one for one in cells(reports.get("/").text, "campaigns") if one["Candidates"] != "–"]
    assert (row["Candidates"], row["Eligible"]) == (str(PATIENTS), str(funnel.eligible))


CAME_BACK = """
SELECT to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
    count(*) FILTER (WHERE r.verdict = 'hard') AS hard,
    count(*) FILTER (WHERE r.verdict = 'soft') AS soft,
    count(*) FILTER (WHERE r.kind = 'complaint') AS complaints
FROM response r JOIN letter l USING (letter_id) WHERE l.campaign = 'health_education'
GROUP BY 1 ORDER BY 1 DESC
"""


def test_what_came_back_is_counted_as_it_is_read(reports: Reports) -> None:
    """The page's months are those of a direct sum, whichever way the messages were taken in."""
    practice = reports.practice
    each = (
        "INSERT INTO response (item, source, kind, verdict, letter_id, at) SELECT '{0}' || number,"
        " 'maildir', '{0}', '{1}', letter_id, timestamptz '2025-03-01Z'"
        " + number % 3 * interval '31 d' FROM (SELECT letter_id, row_number() OVER"
        " (ORDER BY letter_id) AS number FROM letter) AS l"
        " WHERE number <= {2}"
    )
    practice.spoil(
        each.format("bounce", "hard", 20), each.format("complaint", "complaint", 5),
        each.format("auto_reply", "none", 9),
        "INSERT INTO response (item, source, kind, verdict, letter_id, at) SELECT 's', 'maildir',"
        " 'bounce', 'soft', letter_id, '2025-04-30T23:59:59Z' FROM letter LIMIT 1",
        "INSERT INTO response (item, source, kind, verdict, at) VALUES ('n', 'maildir', 'bounce',"
        " 'hard', '2025-05-01Z')",
    )  # fmt: skip
    try:
        html = reports.get(f"/campaigns/{CAMPAIGN}").text
        part = html[html.index('id="back"') :]
        cells = re.findall(r"data-label=\"[^\"]*\"[^>]*>([^<]*)<", part[: part.index("</table>")])
        shown = [cells[n : n + 4] for n in range(0, len(cells), 5)]
        direct = [[str(n) for n in row.values()] for row in practice.rows(CAME_BACK)]
        assert shown == direct
        assert sum(int(row[1]) for row in direct) == 20
    finally:
        practice.spoil("DELETE FROM response", "DELETE FROM came_back")


def test_they_are_right_again_after_a_letter_was_resolved(reports: Reports) -> None:
    letter = make_unknown(reports)
    before = numbers(reports.get(reports.run_path).text, "funnel")
    form = {"verdict": "refused", "ground": "the relay's log of the day"}
    assert reports.post(f"/compliance/unknown/{letter}", form).status_code == 303
    after = numbers(reports.get(reports.run_path).text, "funnel")
    assert int(after["refused"]) == int(before.get("refused", "0")) + 1
    again = reports.post(f"/compliance/unknown/{letter}", form)
    assert again.status_code == 409
    assert "not `unknown`" in again.text


def test_an_analyst_sees_no_count_of_one_to_ten(reports: Reports) -> None:
    html = reports.get(reports.run_path, "analyst").text + reports.get("/", "analyst").text
    counts = "Count|Patients|Excluded|Candidates|Eligible|Held out|Sent|Refused|Unknown|Offered"
    cells = re.findall(rf'data-label="(?:{counts})"[^>]*>(.*?)</t[dh]>', html, re.S)
    shown = [re.sub(r"<[^>]*>", "", cell).replace(",", "").strip() for cell in cells]
    assert "*" in shown
    assert [n for n in shown if n.isdigit() and 1 <= int(n) <= 10] == []
    exported = reports.get(f"{reports.run_path}/export.csv", "analyst").text
    assert "no_authorization,*," in exported


@pytest.mark.parametrize("path", [*PAGES, "run"])
def test_no_page_names_a_patient(path: str, reports: Reports) -> None:
    html = reports.get(reports.run_path if path == "run" else path).text
    for number in range(PATIENTS):
        assert f"Givenp{number}" not in html
        assert f"p{number}@example.org" not in html
    assert reports.practice.settings.store_url not in html


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_its_own_files_only_and_is_kept_nowhere(path: str, reports: Reports) -> None:
    answer = reports.get(path)
    assert answer.status_code == 200, answer.text[:1500]
    assert answer.headers["cache-control"] == "no-store"
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert set(re.findall(r'(?:src|href)="(https?:[^"]*)"', answer.text)) == set()
    assert re.findall(r"<script>|<style|\sstyle=|\son[a-z]+=", answer.text) == []


HOSTILE = (
    "kind=x'%3B%20DROP%20TABLE%20letter%3B--", "kind=<script>alert(1)</script>",
    "run=1%27%20OR%201=1",
    "from=2025-13-99", "from=0000-00-00", "to=%00", "below=-1", "below=99999999999999999999",
    "kind=access&kind=intent", "from=2026-01-02&to=2026-01-01", "run=" + "a" * 5000,
    "kind=%ff%fe", "from=٢٠٢٥-٠١-٠١",
    "from=0025-06-01", "to=0025-06-01", "from=1999-12-31",
)  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE)
def test_a_hostile_query_gets_a_clear_page_without_itself(query: str, reports: Reports) -> None:
    answer = reports.get(f"/compliance/ledger?{query}")
    assert answer.status_code == 400
    assert "That cannot be asked" in answer.text
    assert "<script>alert" not in answer.text
    assert "DROP TABLE" not in answer.text


@pytest.mark.parametrize("query", ["from=0025-06-01", "to=1999-12-31", "from=2025-13-99"])
def test_the_access_log_refuses_days_of_no_time_as_well(query: str, reports: Reports) -> None:
    answer = reports.get(f"/compliance/access?{query}")
    assert answer.status_code == 400
    assert "not before 2000-01-01" in answer.text
    form = {"patient": "p7", **dict([query.split("=")])}
    assert reports.post("/compliance/disclosures", form).status_code == 400


@pytest.mark.parametrize("actor", ["p1@example.org", "airflow:<b>", "x" * 200, "a b"])
def test_what_is_no_actor_is_not_recorded_as_one(actor: str, reports: Reports) -> None:
    before = len(reports.accesses())
    assert reports.client.get(
        "/compliance/access", params={"actor": actor}, headers={"x-test-as": "officer"}
    ).status_code == 400  # fmt: skip
    assert len(reports.accesses()) == before


@pytest.mark.parametrize(
    "path",
    [
        "/campaigns/none", "/campaigns/..%2f..%2fetc", f"/dags/{DAG}/runs/none",
        f"/dags/reengage_appointment_reminder/runs/{DAG_RUN}", f"/dags/other/runs/{DAG_RUN}",
        "/compliance/ledger/99999999", "/compliance/ledger/export.exe", "/static/..%2fapp.py",
        "/nothing",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_clear_404(path: str, reports: Reports) -> None:
    answer = reports.get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_a_wrong_type_in_the_path_is_a_clear_400(reports: Reports) -> None:
    for path in ("/compliance/ledger/abc", "/compliance/ledger/1e9"):
        assert reports.get(path).status_code == 400
    assert reports.post("/compliance/unknown/nobody", {"verdict": "sent"}).status_code == 400


def test_a_form_of_a_megabyte_is_not_read(reports: Reports) -> None:
    answer = reports.post("/compliance/disclosures", {"patient": "x" * 1_000_000})
    assert answer.status_code == 400
    assert "longer than" in answer.text


def test_a_session_that_ended_says_so_in_the_frame_and_leads_to_the_log_in_outside(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "log_in_url", lambda path: f"/auth/login/?next={path}")
    framed = reports.get("/compliance", None, **{"sec-fetch-dest": "iframe"})
    assert framed.status_code == 401
    assert "Your session has ended" in framed.text
    outside = reports.get("/compliance", None, **{"sec-fetch-dest": "document"})
    assert (outside.status_code, outside.headers["location"]) == (
        303,
        "/auth/login/?next=/compliance",
    )


def test_a_store_that_is_down_shows_nothing_and_says_nothing_of_where_it_is(
    reports: Reports, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", "postgresql+psycopg://u:hunter2@127.0.0.1:1/store")
    for path in ("/", "/compliance", reports.run_path):
        answer = reports.get(path)
        assert answer.status_code == 503
        assert "hunter2" not in answer.text + caplog.text


def test_an_empty_store_says_what_to_do(
    reports: Reports, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", store_url)
    page = reports.get("/")
    assert page.status_code == 200
    assert "No run has ended yet" in page.text
    for path in PAGES[1:]:
        assert reports.get(path).status_code == 200, path


def test_the_accounting_is_asked_by_a_form_and_recorded_by_pseudonym(reports: Reports) -> None:
    form = {"patient": "p7", "from": "2025-01-01", "to": "2030-01-01"}
    answer = reports.post("/compliance/disclosures", form)
    assert answer.status_code == 200
    assert "p7@example.org" in answer.text
    record = reports.accesses()[-1]
    assert record["of"] == "disclosures"
    assert "p7" not in str(record["detail"]).replace(str(record["detail"]["patient"]), "")  # type: ignore[index]
    pdf = reports.post("/compliance/disclosures", {**form, "as": "pdf"})
    assert pdf.content.startswith(b"%PDF")
    assert "p7" not in pdf.headers["content-disposition"]
    csv = reports.post("/compliance/disclosures", {**form, "as": "csv"})
    assert "p7@example.org" in csv.text
    assert reports.get("/compliance/disclosures?patient=p7").text.count("p7@example.org") == 0


def test_an_export_holds_what_the_page_shows(reports: Reports) -> None:
    path = f"{reports.run_path}/export"
    funnel = pd.read_parquet(io.BytesIO(reports.get(f"{path}.parquet").content))
    found = dict(zip(funnel["code"], funnel["patients"], strict=True))
    assert found["no_authorization"] == 3
    hidden = pd.read_parquet(io.BytesIO(reports.get(f"{path}.parquet", "analyst").content))
    row = hidden[hidden["code"] == "no_authorization"].iloc[0]
    assert pd.isna(row["patients"])
    assert row["patients_hidden"]
    assert reports.get(f"{path}.pdf").content.startswith(b"%PDF")
    assert reports.get("/compliance/ledger/export.csv?kind=access").text.startswith(
        "entry,recorded"
    )


def test_a_verification_says_sound_and_then_what_is_wrong(reports: Reports) -> None:
    assert "Sound:" in reports.post("/compliance/verify", {}).text


def test_every_template_escapes_and_none_is_marked_safe() -> None:
    folder = Path(guard.__file__).parent / "html"
    for path in folder.glob("*.html"):
        assert "|safe" not in path.read_text(encoding="utf-8").replace(" ", "")


def test_a_campaigns_file_that_changes_is_read_again(tmp_path: Path) -> None:
    home = copy_home(HOME, tmp_path / "home")
    file = home / "campaigns" / f"{CAMPAIGN}.yaml"

    def titles() -> set[str]:
        return {one.title for one in campaigns_of(home)[0]}

    before = titles()
    assert before == titles()
    said = file.read_text(encoding="utf-8")
    file.write_text(said.replace("title: Health education", "title: Renamed"), encoding="utf-8")
    assert titles() == before - {"Health education"} | {"Renamed"}
