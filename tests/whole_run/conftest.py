"""A whole embedded default, started once: PostgreSQL, relay, Airflow, on the canary export.

Tests do not share campaigns: each has one of its own, copied from the health education campaign, so
that none depends on what another has sent before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from reengage.embedded import main_job
from reengage.embedded.home import copy_home
from reengage.embedded.layout import Layout
from reengage.embedded.processes import wait_until
from reengage.keys import open_keyring
from reengage.sealing.certificates import certificate_of
from reengage.sealing.smime import open_as_recipient
from reengage.settings import HOME
from rich.console import Console
from sqlalchemy import create_engine, text

from whole_run.canary import write_export

AS_OF = date(2025, 3, 4)
OWN_CAMPAIGNS = (
    "killed",
    "red",
    "retried",
    "cleared",
    "unforeseen",
    "twice",
    "lapsed",
    "ledgered",
    "audited",
    "paused",
    "returned",
    "left_alone",
    "approved",
    "asked",
    "held",
)
OF_THE_CANARY = ("red", "unforeseen")
"""All that is played unless long tests were chosen: each DAG more takes the processor's time."""
RUN_SECONDS = 240


@dataclass
class House:
    """The running embedded default, and what a test asks of it."""

    site: main_job.Site
    job: main_job.Job
    canaries: list[str]
    output: StringIO
    console: Console

    def trigger(self, slug: str, **conf: object) -> str:
        """Start a run of the campaign; gives its DAG run id."""
        client = self.site.airflow.client
        dag_id, dag_run_id = f"reengage_{slug}", f"test__{uuid4()}"
        client.wait_for_dag(dag_id)
        client.unpause(dag_id)
        client.trigger(dag_id, dag_run_id, dict(conf))
        return dag_run_id

    def ended(self, slug: str, dag_run_id: str) -> str:
        """The state that the run ends in."""
        dag_id = f"reengage_{slug}"

        def over() -> bool:
            return self.state(dag_id, dag_run_id) not in ("queued", "running")

        wait_until(over, seconds=RUN_SECONDS, what=f"the end of {dag_id}")
        return self.state(dag_id, dag_run_id)

    def run(self, slug: str, **conf: object) -> tuple[str, str]:
        """A whole run: the state that it ends in, and its DAG run id."""
        dag_run_id = self.trigger(slug, **conf)
        return self.ended(slug, dag_run_id), dag_run_id

    def state(self, dag_id: str, dag_run_id: str) -> str:
        return self.site.airflow.client.run_state(dag_id, dag_run_id)

    def task_states(self, slug: str, dag_run_id: str) -> dict[str, set[str]]:
        """States of each task's instances."""
        found: dict[str, set[str]] = {}
        for task in self.site.airflow.client.tasks(f"reengage_{slug}", dag_run_id):
            found.setdefault(task["task_id"], set()).add(task["state"])
        return found

    def asking(self, slug: str, dag_run_id: str) -> list[dict[str, Any]]:
        """Task instances that wait for somebody's answer."""
        found = self.site.airflow.client.tasks(f"reengage_{slug}", dag_run_id)
        return [one for one in found if one["state"] == "awaiting_input"]

    def question(self, slug: str, dag_run_id: str) -> str:
        """The path in Airflow's API of the one question that waits in the run, once one does."""
        wait_until(
            lambda: bool(self.asking(slug, dag_run_id)), seconds=RUN_SECONDS, what="a question"
        )
        [task] = self.asking(slug, dag_run_id)
        run = f"/api/v2/dags/reengage_{slug}/dagRuns/{dag_run_id}"
        return f"{run}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails"

    def answer(self, slug: str, dag_run_id: str, option: str, **params: str) -> str:
        """Answer the run's question as admin; gives the state that the run ends in."""
        path = self.question(slug, dag_run_id)
        self._hear_of_the_asker(slug, dag_run_id)
        body = {"chosen_options": [option], "params_input": params}
        self.site.airflow.client.call("PATCH", path, body)
        return self.ended(slug, dag_run_id)

    def _hear_of_the_asker(self, slug: str, dag_run_id: str) -> None:
        """Let Airflow hear that the worker which asked has ended, before anybody answers.

        Most people take longer than that. Airflow 3.3.2's scheduler takes an answer that comes
        before for a fault of its executor, and the next try asks once more.
        """
        [asks] = self.asking(slug, dag_run_id)
        heard = (
            "Received executor event with state success for task instance TaskInstanceKey("
            f"dag_id='reengage_{slug}', task_id='{asks['task_id']}', run_id='{dag_run_id}',"
            f" try_number={asks['try_number']}, map_index={asks['map_index']})"
        )
        log = self.site.layout.logs / "airflow-scheduler.log"
        wait_until(
            lambda: heard in log.read_text(encoding="utf-8"), seconds=60, what="the asker's end"
        )

    def clear(self, slug: str, dag_run_id: str, *task_ids: str) -> None:
        """Clear tasks with all that comes after them, as one does in the UI."""
        self.site.airflow.client.call(
            "POST",
            f"/api/v2/dags/reengage_{slug}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": dag_run_id,
                "task_ids": list(task_ids),
                "include_downstream": True,
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def rows(self, statement: str, database: str = "store", **parameters: object) -> list[tuple]:
        """What a database answers; a statement without rows gives none."""
        engine = create_engine(self.site.postgres.url(database))
        try:
            with engine.begin() as connection:
                found = connection.execute(text(statement), parameters)
                return [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()

    def letters(self, slug: str) -> dict[str, int]:
        """The campaign's real letters by state."""
        return dict(
            self.rows(
                "SELECT state, count(*) FROM letter WHERE campaign = :slug AND rehearsal IS NULL"
                " GROUP BY state",
                slug=slug,
            )
        )

    def read(self, content: bytes) -> EmailMessage:
        """A letter as its recipient reads it: one by S/MIME is opened with their key."""
        message = message_from_bytes(content, policy=SMTP)
        if message.get_content_type() != "application/pkcs7-mime":
            return message
        patients = self.site.layout.correspondents / "patients"
        key = load_pem_private_key((patients / f"{message['To']}.key").read_bytes(), None)
        identity = open_keyring(self.site.layout.keyring).smime_identity()
        assert isinstance(key, EllipticCurvePrivateKey)
        assert identity is not None
        payload = open_as_recipient(
            content.partition(b"MIME-Version: 1.0\r\n")[2],
            key,
            certificate_of(_der((patients / f"{message['To']}.crt").read_bytes())),
            signer_certificate=_der(identity[1]),
        )
        return message_from_bytes(payload, policy=SMTP)

    def delivered(self, slug: str) -> list[bytes]:
        """What the relay took of the campaign's letters, by the Message-IDs in the outbox."""
        ids = {
            row[0] for row in self.rows("SELECT message_id FROM letter WHERE campaign = :s", s=slug)
        }
        files = sorted((self.site.layout.maildir / "new").iterdir())
        return [c for c in (file.read_bytes() for file in files) if _message_id(c) in ids]


def _der(pem: bytes) -> bytes:
    return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def _message_id(content: bytes) -> str:
    return content.partition(b"\r\nMessage-ID: ")[2].partition(b"\r\n")[0].decode()


@pytest.fixture(scope="package")
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    base = tmp_path_factory.mktemp("house")
    layout = Layout(copy_home(HOME, base / "home"))
    long = any(one.get_closest_marker("long") for one in request.session.items)
    _add_campaigns(layout.home, OWN_CAMPAIGNS if long else OF_THE_CANARY)
    canaries = write_export(base / "export", AS_OF)
    job = main_job.Job(data=base / "export", as_of=AS_OF)
    output = StringIO()
    console = Console(file=output, width=80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(base / "state"))
        with main_job.site(layout, job, console) as site:
            yield House(site, job, canaries, output, console)


def _add_campaigns(home: Path, slugs: Sequence[str]) -> None:
    for path in (home / "campaigns").glob("*.yaml"):
        content = path.read_text(encoding="utf-8")
        # All of them write to the same patients on the same day, and none waits for another.
        content = re.sub("days_after_any_letter: [0-9]+", "days_after_any_letter: 0", content)
        path.write_text(content, encoding="utf-8")
    pattern = (home / "campaigns" / "health_education.yaml").read_text(encoding="utf-8")
    for slug in slugs:
        content = pattern.replace("slug: health_education", f"slug: {slug}")
        content = content.replace("holdout_share: 0.1", "holdout_share: 0.0")
        if slug == "red":
            content = content.replace("cohort: cohort", "cohort: cohort_red")
        if slug == "unforeseen":
            content = content.replace("health_education.sql", "unforeseen.sql")
        if slug == "lapsed":
            content = content.replace("vendor: embedded", "vendor: lapsed")
        (home / "campaigns" / f"{slug}.yaml").write_text(content, encoding="utf-8")
    _add_red_suite(home)
    _add_query_that_fails(home)
    _add_lapsed_vendor(home)
    dag = home / "dags" / "reengagement.py"
    hurried = dag.read_text(encoding="utf-8").replace(
        "timedelta(seconds=30)", "timedelta(seconds=1)"
    )
    dag.write_text(hurried, encoding="utf-8")


def _add_red_suite(home: Path) -> None:
    suite = json.loads((home / "expectations" / "cohort.json").read_text(encoding="utf-8"))
    suite["name"] = "cohort_red"
    [alive] = [e for e in suite["expectations"] if e["kwargs"]["column"] == "alive"]
    alive["kwargs"]["value_set"] = [False]
    path = home / "expectations" / "cohort_red.json"
    path.write_text(json.dumps(suite), encoding="utf-8")


def _add_query_that_fails(home: Path) -> None:
    """Its error quotes a patient's first name: `invalid input syntax for type date`."""
    query = (home / "sql" / "extract" / "health_education.sql").read_text(encoding="utf-8")
    query += (
        " AND (SELECT CAST(p.given_name AS date) FROM contract.patient p"
        " WHERE p.patient_key = inactive.patient_key) IS NOT NULL"
    )
    (home / "sql" / "extract" / "unforeseen.sql").write_text(query, encoding="utf-8")


def _add_lapsed_vendor(home: Path) -> None:
    path = home / "vendors.yaml"
    content = path.read_text(encoding="utf-8")
    entry = content[content.index("  - name: embedded") :]
    entry = entry.replace("name: embedded", "name: lapsed").replace("2099-12-31", "2020-12-31")
    path.write_text(content + entry, encoding="utf-8")
