"""The fixed cost of a run: wall time of a campaign's DAG run with nobody to write to.

Each campaign's DAG runs `RUNS` times for a day on which the sample has no candidate, one after the
other; beside it a DAG of the same nine tasks that do nothing, in the same Airflow. Times are those
of the DAG run in Airflow's own books, from its start to its end.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import date, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

from harness import Figure, at_most, publish
from reengage.campaigns import load_campaigns
from reengage.embedded import main_job
from reengage.embedded.client import AirflowClient
from reengage.embedded.home import copy_home
from reengage.embedded.layout import Layout
from reengage.embedded.processes import wait_until
from reengage.settings import HOME
from rich.console import Console

RUNS = 5
TARGET_SECONDS = 15
NOBODY_THEN = date(1900, 1, 1)
EMPTY_DAG = """
from datetime import datetime
from airflow.sdk import DAG, BaseOperator

class Nothing(BaseOperator):
    def execute(self, context):
        return None

with DAG("bench_empty", schedule=None, start_date=datetime(2024, 1, 1)):
    before = None
    for name in "preflight extract gate plan letter check_letters send settle shred".split():
        task = Nothing(task_id=name)
        if before is not None:
            before >> task
        before = task
"""


def main() -> int:
    """Measure and publish."""
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_STATE_HOME"] = str(Path(scratch) / "state")  # its keys go with it
        layout = Layout(copy_home(HOME, Path(scratch) / "home"))
        (layout.home / "dags" / "bench_empty.py").write_text(EMPTY_DAG, encoding="utf-8")
        with main_job.site(layout, main_job.Job(), console) as site:
            client = site.airflow.client
            empty = _seconds(client, "bench_empty", {})
            conf = {"campaign_date": NOBODY_THEN.isoformat()}
            figures: list[Figure] = []
            for campaign in load_campaigns(layout.home)[0]:
                seconds = _seconds(client, campaign.dag_id, conf)
                figures.append(
                    at_most(
                        campaign.slug,
                        median(seconds),
                        "s",
                        baseline=median(empty),
                        target=TARGET_SECONDS,
                    )
                )
    figures.append(at_most("nine empty tasks", median(empty), "s", baseline=None, target=None))
    note = f"wall time of a DAG run with 0 candidates, median of {RUNS}; baseline: nine empty tasks"
    return publish("overhead", note, figures)


def _seconds(client: AirflowClient, dag_id: str, conf: dict[str, object]) -> list[float]:
    client.wait_for_dag(dag_id)
    client.unpause(dag_id)
    return [_one_run(client, dag_id, conf) for _ in range(RUNS)]


def _one_run(client: AirflowClient, dag_id: str, conf: dict[str, object]) -> float:
    dag_run_id = f"bench__{uuid4()}"
    client.trigger(dag_id, dag_run_id, conf)
    wait_until(
        lambda: client.run_state(dag_id, dag_run_id) not in ("queued", "running"),
        seconds=300,
        what=f"the end of {dag_id}",
    )
    run = client.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}")
    if run["state"] != "success":
        sys.exit(f"{dag_id} ended {run['state']}: {run['note']}")
    begun, ended = (datetime.fromisoformat(run[key]) for key in ("start_date", "end_date"))
    return (ended - begun).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
