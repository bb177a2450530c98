"""Airflow's own DagBag in a process of its own, without a database, under an audit hook that notes
every connection and every process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from reengage.settings import HOME

PARSE = r"""
import json, sys, time

reached = []
OUTSIDE = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "sqlite3.connect", "os.fork")


def note(event, arguments):
    if event in OUTSIDE:
        reached.append(event)


from airflow.models import DagBag

sys.addaudithook(note)
begin = time.process_time()
bag = DagBag(dag_folder=sys.argv[1])
seconds = time.process_time() - begin


def shape(dag):
    return {
        "campaign": dag.default_args.get("campaign"),
        "title": dag.dag_display_name,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "params": {name: param.value for name, param in dag.params.items()},
        "access": sorted(dag.access_control or {}),
        "cron": dag.timetable.expression,
        "zone": str(dag.timetable.timezone),
        "tasks": {task.task_id: task_shape(task) for task in dag.tasks},
    }


def task_shape(task):
    kwargs = getattr(task, "partial_kwargs", {})
    timeout = kwargs["execution_timeout"] if kwargs else task.execution_timeout
    return {
        "mapped": bool(kwargs),
        "downstream": sorted(task.downstream_task_ids),
        "upstream": sorted(task.upstream_task_ids),
        "retries": kwargs["retries"] if kwargs else task.retries,
        "delay": (kwargs["retry_delay"] if kwargs else task.retry_delay).total_seconds(),
        "factor": kwargs.get("retry_exponential_backoff", 0) if kwargs
                  else task.retry_exponential_backoff,
        "timeout": timeout.total_seconds(),
        "owner": task.owner,
        "tells": bool(kwargs["on_failure_callback"] if kwargs else task.on_failure_callback),
        "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "inlets": [asset.uri for asset in task.inlets],
        "outlets": [asset.uri for asset in task.outlets],
    }


heavy = ("pandas", "great_expectations", "numpy", "mjml", "babel", "psycopg", "smtplib")
print("RESULT " + json.dumps({
    "dags": {dag_id: shape(dag) for dag_id, dag in bag.dags.items()},
    "errors": {path.rsplit("/", 1)[-1]: text for path, text in bag.import_errors.items()},
    "heavy": [name for name in heavy if name in sys.modules],
    "reached": reached,
    "seconds": seconds,
}))
"""


def parse(home: Path, airflow_home: Path, **settings: str) -> dict[str, Any]:
    """What Airflow makes of the DAG files of `home`, with these settings of ours."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("REENGAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(home / "dags")],
        env={
            **env,
            "PYTHONPATH": str(HOME / "plugins"),
            "REENGAGE_HOME": str(home),
            **{f"REENGAGE_{name}": value for name, value in settings.items()},
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(airflow_home / "plugins"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home}/airflow.db",
        },
        cwd=airflow_home,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found
