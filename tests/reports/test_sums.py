"""The numbers of the pages are those of a direct sum over the store, page by page, table by table.

Each cell is read under its own heading: a number that happens to stand elsewhere proves nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from daily import Practice
from databases import create_database
from fastapi.testclient import TestClient
from reengage.cli.main import main
from reengage.embedded.postgres import Postgres
from reengage.ledger import records
from reengage.pipeline.run import derive_run_id
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from reengage.reports.app import build_app
from reengage.reports.entries import PAGE
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import HostileRelay
from world import NOW, World

from reports.conftest import CAMPAIGN, DAG, Reports, by_header, cells, use

TITLE = "Health education"
DAYS = {"2025-06-02": "manual__monday", "2025-06-03": "manual__tuesday"}
FATES = {"refused": (5, "ASC"), "deferred": (4, "ASC"), "unknown": (3, "DESC")}
"""Of how many letters this becomes by hand, from the first day on or from the last; each count is
another, so that none passes for another."""
SUMS = """
SELECT r.campaign_date::text AS day, r.candidates,
    count(*) FILTER (WHERE d.arm IS NULL) AS excluded,
    count(*) FILTER (WHERE d.arm IS NOT NULL) AS eligible,
    count(*) FILTER (WHERE d.arm = 'holdout') AS held_out,
    count(*) FILTER (WHERE d.reasons[1] IS DISTINCT FROM 'birth_date_implausible') AS asked,
    count(*) FILTER (WHERE d.reasons[1] = 'no_authorization') AS no_form
FROM run r JOIN decision d USING (run_id, campaign_date) GROUP BY r.run_id ORDER BY 1
"""
STATES = "SELECT campaign_date::text AS day, state, count(*) AS n FROM letter GROUP BY 1, 2"
KINDS = "SELECT kind, count(*) AS n FROM ledger_entry GROUP BY 1"


@pytest.fixture(scope="module")
def two_days(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """A practice of two days, some without a form or a sound birth date, letters of every fate."""
    base = tmp_path_factory.mktemp("sums")
    create_database(server, name="sums_world")
    create_database(server, "store", "sums_store")
    with (
        pytest.MonkeyPatch.context() as patch,
        World.create(server.url("sums_world")) as world,
        HostileRelay(good(base / "certificates")) as relay,
    ):
        monday = Practice.create(world, server.url("sums_store"), HOME, base, relay)
        for number, dag_run in enumerate(DAYS.values()):
            enrol(world, number)
            play(monday.at(NOW + timedelta(days=number)), dag_run)
        alter(monday)
        use(patch, monday.at(NOW + timedelta(days=1)))
        assert main(["ledger", "checkpoint"]) == 0
        with TestClient(build_app(by_header), raise_server_exceptions=True) as client:
            made = Reports(monday, derive_run_id(DAG, "manual__monday"), client, relay)
            for dag_run in DAYS.values():  # which keeps what it counts
                assert made.get(f"/dags/{DAG}/runs/{dag_run}").status_code == 200
            yield made


def enrol(world: World, number: int) -> None:
    """Who is new on a day: fewer on the second."""
    for one in range(30 - 9 * number):
        changes: dict[str, dict[str, object] | None] = {"appointment": None}
        if one < 2:
            changes["patient"] = {"birth_date": date(1800, 1, 1)}
        elif one < 5 + number:
            changes["authorization"] = None
        world.patient(f"p{number}-{one}", **changes)


def play(practice: Practice, dag_run: str) -> None:
    """A day, from preflight to settle."""
    run = practice.open(CAMPAIGN, run_id=derive_run_id(DAG, dag_run))
    practice.spoil(f"UPDATE run SET dag_run_id = '{dag_run}' WHERE run_id = '{run.run_id}'")
    for chunk in practice.hurry(run):
        send(run, chunk)
    settle(run)


def alter(practice: Practice) -> None:
    """Have letters of every fate, and nothing that was counted before."""
    for state, (number, order) in FATES.items():
        practice.spoil(
            f"UPDATE letter SET state = '{state}', reason = 'by_hand' WHERE letter_id IN"
            " (SELECT letter_id FROM letter WHERE state = 'sent'"
            f" ORDER BY campaign_date {order}, letter_id LIMIT {number})"
        )
    practice.spoil("DELETE FROM run_report")


def of_campaign(rows: list[dict[str, str]]) -> dict[str, str]:
    """The one row that is of the campaign."""
    [row] = [one for one in rows if one["Campaign"] == TITLE]
    return row


def states(reports: Reports) -> dict[str, Counter[str]]:
    """Letters of each day by state, counted by the store itself."""
    found: dict[str, Counter[str]] = {day: Counter() for day in DAYS}
    for row in reports.practice.rows(STATES):
        found[str(row["day"])][str(row["state"])] = int(str(row["n"]))
    return found


def test_there_is_something_of_everything_to_compare(two_days: Reports) -> None:
    monday, tuesday = states(two_days).values()
    assert (monday["refused"], monday["deferred"], tuesday["unknown"]) == (5, 4, 3)
    assert monday["sent"] > 0 < tuesday["sent"] != monday["sent"]
    for row in two_days.practice.rows(SUMS):
        assert row["asked"] != row["candidates"]
        assert 0 < int(str(row["no_form"])) < int(str(row["excluded"]))


def test_each_campaigns_last_run_is_the_sum_of_its_decisions_and_letters(two_days: Reports) -> None:
    shown = of_campaign(cells(two_days.get("/").text, "campaigns"))
    direct, letters = two_days.practice.rows(SUMS)[-1], states(two_days)["2025-06-03"]
    for label, count in {
        "Candidates": direct["candidates"], "Excluded": direct["excluded"],
        "Eligible": direct["eligible"], "Held out": direct["held_out"],
        "Sent": letters["sent"], "Refused": letters["refused"],
    }.items():  # fmt: skip
        assert shown[label] == str(count), label
    assert shown["Day"] == direct["day"]


def test_how_letters_fared_is_the_sum_over_the_letters_of_all_days(two_days: Reports) -> None:
    shown = of_campaign(cells(two_days.get("/").text, "deliverability"))
    both = sum(states(two_days).values(), Counter[str]())
    offered = both["sent"] + both["refused"] + both["deferred"] + both["unknown"]
    for label, count in {
        "Days": len(DAYS), "Offered": offered, "Sent": both["sent"], "Refused": both["refused"],
        "Deferred": both["deferred"], "Unknown": both["unknown"],
    }.items():  # fmt: skip
        assert shown[label] == str(count), label
    assert shown["Sent of offered"] == f"{both['sent'] / offered:.1%}"


def test_the_trend_has_the_letters_sent_of_each_day(two_days: Reports) -> None:
    shown = {row["Day"]: row[TITLE] for row in cells(two_days.get("/").text, "trend")}
    assert shown == {day: str(found["sent"]) for day, found in states(two_days).items()}


def test_a_campaigns_runs_are_the_sums_of_each_day(two_days: Reports) -> None:
    """Consent, too: a form in force, of those who were not left out for an earlier reason."""
    html = two_days.get(f"/campaigns/{CAMPAIGN}").text
    shown = {row["Day"]: row for row in cells(html, "runs")}
    letters = states(two_days)
    for row in two_days.practice.rows(SUMS):
        day, asked = str(row["day"]), int(str(row["asked"]))
        given = asked - int(str(row["no_form"]))
        for label, said in {
            "Candidates": row["candidates"], "Eligible": row["eligible"],
            "Held out": row["held_out"], "Sent": letters[day]["sent"],
            "Refused": letters[day]["refused"], "Unknown": letters[day]["unknown"],
            "Consent": f"{given / asked:.1%}",
        }.items():  # fmt: skip
            assert shown[day][label] == str(said), (day, label)
    newest = re.search(r"Consent in force, 2025-06-03</dt><dd>(.*?)</dd>", html)
    assert newest
    assert newest[1] == f"{given / asked:.1%} ({given} of {asked} candidates)"


def test_unknown_letters_are_listed_as_many_as_there_are(two_days: Reports) -> None:
    html = two_days.get("/compliance/unknown").text
    listed = set(re.findall(r"compliance/unknown/([0-9a-f-]{36})", html))
    direct = two_days.practice.rows("SELECT letter_id FROM letter WHERE state = 'unknown'")
    assert listed == {str(row["letter_id"]) for row in direct}
    for letter in listed:  # each under the name by which the relay's log knows it
        assert f">{letter.replace('-', '')}-" in html
    assert len(listed) == FATES["unknown"][0]


def test_the_ledgers_counts_are_those_of_its_entries(two_days: Reports) -> None:
    html = two_days.get("/compliance").text
    direct = {str(row["kind"]): int(str(row["n"])) for row in two_days.practice.rows(KINDS)}
    [signed] = two_days.practice.rows(
        "SELECT index FROM ledger_entry WHERE kind = 'checkpoint' ORDER BY index"
    )
    whole, covered = sum(direct.values()), int(str(signed["index"]))
    figures = {
        label: re.sub(r"<.*", "", number).strip()
        for label, number in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.S)
    }
    for label, count in {
        "Entries": whole, "Signed over": covered, "Not covered yet": whole - covered,
        **{kind.replace("_", " "): direct.get(kind, 0) for kind in records.KINDS},
    }.items():  # fmt: skip
        assert figures[label] == f"{count:,}", label
    assert [row["Over entries"] for row in cells(html, "checkpoints")] == [f"{covered:,}"]


@pytest.mark.parametrize("kind", ["disclosure", "intent"])
def test_the_ledgers_entries_are_as_many_as_are_said(kind: str, two_days: Reports) -> None:
    html = two_days.get(f"/compliance/ledger?kind={kind}").text
    direct = {str(row["kind"]): int(str(row["n"])) for row in two_days.practice.rows(KINDS)}
    assert 0 < direct[kind] <= PAGE
    assert len(cells(html, "entries")) == direct[kind]
    assert f"of {sum(direct.values()):,} entries in all" in html
