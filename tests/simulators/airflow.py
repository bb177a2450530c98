"""An Airflow that answers as the REST API of 3.3 does, of what a test lets it know.

The members and filters are those that a real one was seen to have; `docs/audit.md` says which are
used. It counts what it is asked, and may be told to fail.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PASSWORD = "pass/word 4711"
Row = dict[str, Any]


@dataclass
class FakeAirflow:
    """Task instances and their history, and an account that may see them."""

    instances: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fault: tuple[int, bytes] | None = None
    """Status and content instead of any answer but a token."""
    lapses: int = 0
    """How many answers to give before the token is no good."""
    answering: Callable[[str], object] = lambda path: None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://auditor:pass%2Fword%204711@127.0.0.1:{self.port}"

    def add(self, *, updated_at: datetime, **row: Any) -> None:
        """A task instance as it is now."""
        self.instances.append({**row, "updated_at": updated_at.isoformat()})

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, Any]:
        url = urlsplit(target)
        path, query = url.path, {k: v[0] for k, v in parse_qs(url.query).items()}
        self.asked.append(path)
        if (method, path) == ("POST", "/auth/token"):
            good = json.loads(body) == {"username": "auditor", "password": PASSWORD}
            token = f"token-{self.asked.count(path)}"
            return (201, {"access_token": token}) if good else (401, {"detail": "Invalid"})
        if token != f"Bearer token-{self.asked.count('/auth/token')}":
            return 401, {"detail": "Not authenticated"}
        if self.lapses and len(self.asked) == self.lapses:
            return 401, {"detail": "Token is expired"}
        if self.fault:
            return self.fault
        self.answering(path)
        if path == "/api/v2/dags/~/dagRuns/~/taskInstances":
            return 200, self._page(query)
        return self._tries([unquote(part) for part in path.split("/")[4:]])

    def _page(self, query: dict[str, str]) -> Row:
        found = [row for row in self.instances if _matches(row, query)]
        begin, limit = int(query.get("cursor") or 0), min(int(query["limit"]), 100)
        following = str(begin + limit) if len(found) > begin + limit else None
        page = [_shown(row) for row in found[begin : begin + limit]]
        return {"task_instances": page, "total_entries": len(found), "next_cursor": following}

    def _tries(self, parts: list[str]) -> tuple[int, Any]:
        dag, _, run, _, task, *rest = parts
        index = int(rest[0]) if len(rest) == 2 else -1
        key = (dag, run, task, index)
        rows = [row for row in self.history if _key(row) == key]
        rows += [r for r in self.instances if _key(r) == key and r["state"] != "up_for_retry"]
        if not rows:
            return 404, {"detail": "not found"}
        return 200, {"task_instances": [_shown(row) for row in rows], "total_entries": len(rows)}


def _key(row: Row) -> tuple[str, str, str, int]:
    return row["dag_id"], row["dag_run_id"], row["task_id"], row["map_index"]


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "updated_at"}


def _matches(row: Row, query: dict[str, str]) -> bool:
    prefix = query.get("dag_id_prefix_pattern", "").rstrip("_")  # as Airflow strips it
    if (
        not row["dag_id"].startswith(prefix)
        or query.get("task_id", row["task_id"]) != row["task_id"]
    ):
        return False
    for name in ("updated_at", "logical_date", "run_after"):
        for end in ("gte", "lte"):
            if bound := query.get(f"{name}_{end}"):
                if row[name] is None:
                    return False
                value, at = datetime.fromisoformat(row[name]), datetime.fromisoformat(bound)
                if (value < at) if end == "gte" else (value > at):
                    return False
    return True


@contextmanager
def answering(airflow: FakeAirflow) -> Iterator[FakeAirflow]:
    """The simulated Airflow on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "")
            status, content = airflow.answer(method, self.path, token, body)
            packed = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    airflow.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield airflow
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
