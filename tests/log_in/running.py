"""An Airflow with our roles on a real PostgreSQL, and as many api-servers as a test wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""The beginning of a window of the limit."""
SERVED = Path(__file__).with_name("served.py")


@dataclass(frozen=True)
class Answer:
    """What an api-server said, and what the browser holds by then."""

    status: int
    headers: dict[str, str]
    text: str = field(repr=False)
    cookies: dict[str, str] = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Server:
    """One process of the api-server."""

    process: subprocess.Popen[str]
    now: datetime = NOON
    log: list[str] = field(default_factory=list, repr=False)
    """What Airflow said while it answered."""

    def ask(
        self,
        method: str,
        url: str,
        *,
        browser: str = "one",
        address: str = "192.0.2.1",
        **more: Any,
    ) -> Answer:
        asked = {"method": method, "url": url, "browser": browser, "address": address,
                 "now": self.now.isoformat(), **more}  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return Answer(**json.loads(line.removeprefix("answer ")))
            self.log.append(line)
        raise AssertionError("the api-server died: " + "".join(self.log[-20:]))


@dataclass(frozen=True)
class Airflow:
    """Its settings and its database."""

    variables: Mapping[str, str] = field(repr=False)
    database: Engine
    home: Path

    @contextmanager
    def serving(self, **variables: str) -> Iterator[Server]:
        env = {**os.environ, **self.variables, **variables}
        with (
            subprocess.Popen(
                [sys.executable, str(SERVED)], env=env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process,
        ):  # fmt: skip
            try:
                yield Server(process)
            finally:
                process.kill()

    def run(self, *command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command], env={**os.environ, **self.variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def roles_of(self, account: str) -> set[str]:
        with self.database.connect() as connection:
            return set(connection.scalars(text(
                "SELECT r.name FROM ab_user u JOIN ab_user_role ur ON ur.user_id = u.id"
                " JOIN ab_role r ON r.id = ur.role_id WHERE u.username = :account"
            ), {"account": account}))  # fmt: skip

    def change(self, statement: str, **values: object) -> None:
        with self.database.begin() as connection:
            assert connection.execute(text(statement), values).rowcount


def engine(url: str) -> Engine:
    return create_engine(url)
