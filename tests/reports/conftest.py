"""A practice that has written its letters, and the reports' app over it; whoever asks says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from daily import Practice
from databases import create_database
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from reengage import roles
from reengage.embedded.postgres import Postgres
from reengage.pipeline.run import derive_run_id
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from reengage.reports.app import build_app
from reengage.reports.auth import Visitor
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import Connection, create_engine
from world import World

PATIENTS = 40
CAMPAIGN = "health_education"
DAG, DAG_RUN = f"reengage_{CAMPAIGN}", "manual__2025-06-02T17:00:00+00:00"
ROLES = {
    "engineer": roles.DATA_ENGINEER,
    "analyst": roles.ANALYST,
    "officer": roles.COMPLIANCE_OFFICER,
    "admin": roles.ADMIN,
}
AS = "x-test-as"
"""Names the visitor; Airflow's own way is tested against a running Airflow."""


async def by_header(request: Request) -> Visitor:
    name = request.headers.get(AS)
    if name is None:
        raise HTTPException(401)
    return Visitor(name, frozenset({ROLES.get(name, "Nobody")}))


@dataclass
class Reports:
    """The app, and the practice behind it."""

    practice: Practice
    run_id: UUID
    client: TestClient = field(repr=False)
    relay: HostileRelay = field(repr=False)

    def get(self, path: str, who: str | None = "officer", **headers: str):  # type: ignore[no-untyped-def]
        named = {AS: who} if who else {}
        return self.client.get(path, headers={**named, **headers}, follow_redirects=False)

    def post(self, path: str, form: dict[str, str], who: str | None = "officer", **headers: str):  # type: ignore[no-untyped-def]
        said = {"origin": "http://testserver", **({AS: who} if who else {}), **headers}
        return self.client.post(path, data=form, headers=said, follow_redirects=False)

    @contextmanager
    def practice_store(self) -> Iterator[Connection]:
        """A transaction of a task's."""
        engine = create_engine(self.practice.settings.store_url)
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    @property
    def run_path(self) -> str:
        return f"/dags/{DAG}/runs/{DAG_RUN.replace('+', '%2B')}"

    def accesses(self) -> list[dict[str, object]]:
        """Bodies of the access records, the oldest first."""
        found = self.practice.rows(
            "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
            " WHERE kind = 'access' ORDER BY index"
        )
        return [row["body"] for row in found]  # type: ignore[misc]


@pytest.fixture(scope="session")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def reports(
    server: Postgres, tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch
) -> Iterator[Reports]:
    """Three patients have no authorization, all others were written to."""
    base = tmp_path_factory.mktemp("reports")
    create_database(server, name="reports_world")
    create_database(server, "store", "reports_store")
    with (
        World.create(server.url("reports_world")) as world,
        HostileRelay(good(base / "certificates")) as relay,
    ):
        for number in range(PATIENTS):
            nothing_signed = {"authorization": None} if number < 3 else {}
            world.patient(f"p{number}", appointment=None, **nothing_signed)
        practice = Practice.create(world, server.url("reports_store"), HOME, base, relay)
        run_id = derive_run_id(DAG, DAG_RUN)
        run = practice.open(CAMPAIGN, run_id=run_id)
        practice.spoil(f"UPDATE run SET dag_run_id = '{DAG_RUN}'")
        for chunk in practice.hurry(run):
            send(run, chunk)
        settle(run)
        use(environment, practice)
        with TestClient(build_app(by_header), raise_server_exceptions=True) as client:
            yield Reports(practice, run_id, client, relay)


def use(patch: pytest.MonkeyPatch, practice: Practice) -> None:
    """Let the app find this practice."""
    settings = practice.settings
    for name, value in {
        "HOME": settings.home, "WAREHOUSE_URL": settings.warehouse_url,
        "STORE_URL": settings.store_url, "KEYRING": settings.keyring,
        "PINNED_NOW": settings.pinned_now.isoformat() if settings.pinned_now else "",
        "RELAY_TRUST": settings.relay_trust or "",
        **{f"RELAY_URL_{name.upper()}": url for name, url in settings.relays.items()},
    }.items():  # fmt: skip
        patch.setenv(f"REENGAGE_{name}", str(value))


def cells(html: str, name: str) -> list[dict[str, str]]:
    """The rows of a table of the page, by the headings of their cells."""
    part = html[html.index(f'<h2 id="{name}"') + 1 :]
    part = part[: part.index("</table>")]
    assert "<h2" not in part, f"{name} has no table"
    return [
        {
            label: re.sub(r"<[^>]*>", "", cell).strip()
            for label, cell in re.findall(r'data-label="([^"]*)"[^>]*>(.*?)</t[hd]>', row, re.S)
        }
        for row in re.findall(r"<tr>(.*?)</tr>", part[part.index("<tbody>") :], re.S)
    ]


def make_unknown(reports: Reports) -> UUID:
    """One more letter becomes unknown, as after a crash."""
    found = reports.practice.rows("SELECT letter_id FROM letter WHERE state = 'sent' LIMIT 1")
    letter: UUID = found[0]["letter_id"]  # type: ignore[assignment]
    reports.practice.spoil(
        "UPDATE letter SET state = 'unknown', reason = 'connection_lost'"
        f" WHERE letter_id = '{letter}'",
        "DELETE FROM run_report",
    )
    return letter


@pytest.fixture
def unheld(reports: Reports) -> Iterator[None]:
    """Whatever a test does, no campaign is paused afterwards."""
    yield
    reports.practice.spoil("DELETE FROM campaign_pause")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """For a test that points the app at something else."""
    return monkeypatch
