"""Airflow's account of what ran, asked of its public REST API (`/api/v2`).

A task of Airflow 3 has no way into the metadata database; it asks as anybody would, with a service
account that may read DAG runs and task instances, nothing more. Bounded in every direction: time
per answer, rows per page, pages per question. Neither the password nor the token is ever in an
error, a log or a repr.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import quote

import httpx

from reengage.errors import ConfigurationError, StoreError

SETTING = "REENGAGE_AIRFLOW_URL"
SECONDS = 30.0
PAGE = 100
"""Airflow's own default for the largest page; where it is set lower, Airflow gives less."""
PAGES = 2000
DAGS = "reengage_"
"""How the id of every DAG of ours begins."""
EVERY_TRY = "/api/v2/dags/~/dagRuns/~/taskInstances"
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States after which a try does not go on; Airflow's history holds ended tries only."""
_FIRST_TRY = frozenset(
    {"success", "failed", "running", "queued", "scheduled", "deferred", "up_for_reschedule"}
)
"""States in which a task instance of try 1 has no earlier try in Airflow's history."""


class AirflowSilentError(StoreError):
    """Airflow's own store, behind its API, does not answer as it should; time may mend it."""


@dataclass(frozen=True)
class Attempt:
    """One try of one task instance, as Airflow knows it."""

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    number: int
    """From 1: a task instance that never began a try is none."""
    state: str | None
    over: bool
    began_at: datetime | None
    """When a worker took it up; None = it ended, or waits, without that."""
    instant: datetime
    """What its run id is made of: the DAG run's logical date, or when it was due."""

    @property
    def name(self) -> str:
        """As a person finds it in Airflow."""
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} try {self.number} of {self.dag_run_id}"


class AirflowApi:
    """Asks one Airflow. Close it, or use it as a context."""

    def __init__(self, url: str) -> None:
        address, self._account = _address_and_account(url)
        # A proxy and further authorities as the environment names them, but not for this machine.
        self._http = httpx.Client(
            base_url=address, timeout=SECONDS, trust_env=url.startswith("https:")
        )
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def attempts_since(self, since: datetime) -> Iterator[Attempt]:
        """Every try of every task instance of our DAGs that changed since then, older tries too."""
        yield from self._attempts(dag_id_prefix_pattern=DAGS, updated_at_gte=_stamp(since))

    def attempts_at(self, dag_id: str, task_id: str, at: datetime) -> Iterator[Attempt]:
        """Every try of a task in the DAG's runs for an instant, known to the millisecond."""
        ends = (_stamp(at), _stamp(at + timedelta(milliseconds=1)))
        for which in ("logical_date", "run_after"):
            span = {f"{which}_gte": ends[0], f"{which}_lte": ends[1]}
            found = self._attempts(dag_id_prefix_pattern=dag_id, task_id=task_id, **span)
            yield from (one for one in found if one.dag_id == dag_id)

    def _attempts(self, **filters: str) -> Iterator[Attempt]:
        for row in self._pages(filters):
            try:
                if row["dag_id"].startswith(DAGS) and row["try_number"]:
                    yield from _merged(row, self._tries(row))
            except (LookupError, TypeError, ValueError, AttributeError):
                raise _unreadable("a task instance") from None

    def _pages(self, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        cursor = ""
        for _ in range(PAGES):
            # By id: a row that changes while we read keeps its place.
            asked = {**filters, "limit": str(PAGE), "order_by": "id", "cursor": cursor}
            page = self._get(EVERY_TRY, asked)
            try:
                rows, cursor = page["task_instances"], page.get("next_cursor") or ""
            except (TypeError, KeyError, AttributeError):
                raise _unreadable(EVERY_TRY) from None
            yield from rows
            if not cursor:
                return
        raise AirflowSilentError(
            f"Airflow has more than {PAGE * PAGES:,} task instances to tell of; reconcile a shorter"
            " time: run the audit daily"
        )

    def _tries(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tries that Airflow has in its history besides this row; the usual one has none."""
        if row["try_number"] == 1 and row["state"] in _FIRST_TRY:
            return []
        dag, run, task = (quote(str(row[n]), safe="") for n in ("dag_id", "dag_run_id", "task_id"))
        mapped = f"/{row['map_index']}" if row["map_index"] >= 0 else ""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}{mapped}/tries"
        found = self._get(path, {}, or_none=True)
        try:
            return list(found["task_instances"]) if found else []
        except (TypeError, KeyError):
            raise _unreadable("its tries") from None

    def _get(self, path: str, query: Mapping[str, str], *, or_none: bool = False) -> Any:
        if not self._token:
            self._log_in()
        answer = self._ask("GET", path, params=query)
        if answer.status_code == 401:  # the token lapsed meanwhile
            self._log_in()
            answer = self._ask("GET", path, params=query)
        if answer.status_code == 404 and or_none:
            return None
        return _content(answer, "task instances")

    def _log_in(self) -> None:
        self._token = ""
        user, password = self._account
        answer = self._ask("POST", "/auth/token", json={"username": user, "password": password})
        content = _content(answer, "a token")
        try:
            self._token = str(content["access_token"])
        except (TypeError, KeyError):
            raise _unreadable("/auth/token") from None

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            return self._http.request(method, path, headers=headers, **how)
        except httpx.HTTPError as error:
            raise AirflowSilentError(
                f"Airflow's API does not answer ({type(error).__name__}); see that the api-server"
                f" runs and that {SETTING} names it"
            ) from None


def _merged(row: Mapping[str, Any], history: list[dict[str, Any]]) -> Iterator[Attempt]:
    """One attempt for each number. What the history says of a number is how it ended; the row of a
    cleared task still bears that number until the next try is due.
    """
    # The answer to "tries" repeats the row itself, last.
    rows = {int(one["try_number"]): one for one in [row, *reversed(history)]}
    past = {int(one["try_number"]) for one in history if one["state"] in OVER}
    earlier: set[str | None] = {None}
    for number in sorted(rows):
        one = rows[number]
        began = _began(one, earlier)
        earlier.add(one["start_date"])
        if number:
            yield Attempt(
                dag_id=str(row["dag_id"]),
                dag_run_id=str(row["dag_run_id"]),
                task_id=str(row["task_id"]),
                map_index=int(row["map_index"]),
                number=number,
                state=one["state"],
                over=number in past or one["state"] in OVER or number < int(row["try_number"]),
                began_at=began,
                instant=_moment(row["logical_date"] or row["run_after"]),
            )


def _began(row: Mapping[str, Any], earlier: set[str | None]) -> datetime | None:
    """When a worker took the try up. One that failed while it was queued still bears the date of
    the try before; one that was ended by hand or skipped, the date of that as both of its ends.
    """
    start = row["start_date"]
    return None if start in earlier or start == row["end_date"] else _moment(start)


def _content(answer: httpx.Response, what: str) -> Any:
    if answer.status_code in (401, 403):
        raise ConfigurationError(
            f"Airflow refuses the account of {SETTING} ({answer.status_code}) for {what}; give it"
            " the right to read DAG runs and task instances, and its password there"
        )
    if not answer.is_success:
        raise AirflowSilentError(
            f"Airflow's API answered {answer.status_code} when asked for {what}; see its log"
        )
    try:
        return answer.json()
    except ValueError:
        raise _unreadable(what) from None


def _unreadable(what: str) -> AirflowSilentError:
    return AirflowSilentError(
        f"Airflow's API gave something else than expected for {what}; is {SETTING} the address of"
        " an Airflow 3, and does nothing stand between?"
    )


def _address_and_account(url: str) -> tuple[str, tuple[str, str]]:
    """The address alone, and the account. Raises ConfigurationError where one is missing."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _setting("is no address; write it like https://user:password@airflow.example.org")
    if not parsed.username or not parsed.password:
        raise _setting(
            "names no account; write it like https://user:password@host, in percent code"
        )
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise _setting("would send a password in clear; use https beyond this machine")
    address = str(parsed.copy_with(username=None, password=None, query=None, fragment=None))
    return address.rstrip("/"), (parsed.username, parsed.password)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _setting(fault: str) -> ConfigurationError:
    return ConfigurationError(f"setting {SETTING} {fault}")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
