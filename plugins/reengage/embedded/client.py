"""A small client of Airflow's REST API: what `make run` needs, and no more."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from reengage.embedded.processes import ProcessError, wait_until
from reengage.notes import REASON_KEY

START_SECONDS = 120
PAGE = 100
"""Airflow's `maximum_page_limit`; who asks for more is given as many, without a word."""


@dataclass
class AirflowClient:
    """Speaks to one Airflow as one user; the token is fetched on first use."""

    address: str
    user: str
    password: str = field(repr=False)
    _token: str = field(default="", repr=False)

    def wait_until_healthy(self) -> None:
        """Return once scheduler, dag-processor and database are healthy."""
        wait_until(self._healthy, seconds=START_SECONDS, what="a healthy Airflow")

    def wait_for_dag(self, dag_id: str) -> None:
        """Return once the DAG was parsed."""
        wait_until(
            lambda: self._exists(f"/api/v2/dags/{dag_id}"),
            seconds=START_SECONDS,
            what=f"parsing of DAG {dag_id}",
        )

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, dag_run_id: str, conf: dict[str, Any]) -> None:
        """Start a run."""
        body = {"dag_run_id": dag_run_id, "logical_date": None, "conf": conf}
        self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def run_state(self, dag_id: str, dag_run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        state: str = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}")["state"]
        return state

    def tasks(self, dag_id: str, dag_run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, mapped ones each. Airflow gives a hundred at a time."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances?order_by=id"
        found: list[dict[str, Any]] = []
        while True:
            told = self.call("GET", f"{path}&limit={PAGE}&offset={len(found)}")
            found += told["task_instances"]
            if not told["task_instances"] or len(found) >= told["total_entries"]:
                return found

    def is_asked(self, dag_id: str, dag_run_id: str) -> bool:
        """Whether a task of the run waits for somebody's answer."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(dag_run_id, safe='')}/taskInstances"
        return bool(self.call("GET", f"{path}?limit=1&state=awaiting_input")["task_instances"])

    def asked(self, dag_id: str) -> list[str]:
        """Runs of the DAG that wait for somebody's answer."""
        found = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns?state=running&limit=100")
        names = [run["dag_run_id"] for run in found["dag_runs"]]
        return [name for name in names if self.is_asked(dag_id, name)]

    def end(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """End a run that goes on, as failed, and say why."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(dag_run_id, safe='')}"
        self.call("PATCH", path, {"state": "failed", "note": note})

    def note(self, dag_id: str, dag_run_id: str) -> str | None:
        """The note on a run: of why it failed, what everybody may read."""
        note: str | None = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}")["note"]
        return note

    def reasons(self, dag_id: str, dag_run_id: str) -> list[str]:
        """Why a run's tasks failed, each reason once and whole: it may hold counts."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/~/xcomEntries"
        told = self.call("GET", f"{path}?xcom_key={REASON_KEY}&limit={PAGE}")["xcom_entries"]
        found = (
            self._left(dag_id, dag_run_id, one["task_id"], REASON_KEY, one["map_index"])
            for one in told
        )
        return list(dict.fromkeys(str(reason) for reason in found if reason is not None))

    def result(self, dag_id: str, dag_run_id: str, task_id: str) -> Any:
        """What a task gave back, as JSON; None where it gave nothing."""
        found = self._left(dag_id, dag_run_id, task_id, "return_value")
        return json.loads(found) if isinstance(found, str) else found

    def _left(
        self, dag_id: str, dag_run_id: str, task_id: str, key: str, map_index: int = -1
    ) -> Any:
        """What a task left under `key`; None where it left nothing."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}"
        try:
            return self.call("GET", f"{path}/xcomEntries/{key}?map_index={map_index}")["value"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request. Raises urllib.error.HTTPError on a status of 400 and above."""
        if not self._token:
            self._log_in()
        try:
            return self._request(method, path, body)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
        self._log_in()  # a token lasts a quarter of an hour
        return self._request(method, path, body)

    def _log_in(self) -> None:
        self._token = ""
        credentials = {"username": self.user, "password": self.password}
        self._token = self._request("POST", "/auth/token", credentials)["access_token"]

    def _request(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            self.address + path,
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            content = answer.read()
        return json.loads(content) if content else None

    def _healthy(self) -> bool:
        try:
            found = self._request("GET", "/api/v2/monitor/health", None)
        except (OSError, ValueError):
            return False
        return all(
            found[part]["status"] == "healthy"
            for part in ("metadatabase", "scheduler", "dag_processor")
        )

    def _exists(self, path: str) -> bool:
        try:
            self.call("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise ProcessError(f"Airflow answered {error.code} to {path}; see var/log") from None
        return True
