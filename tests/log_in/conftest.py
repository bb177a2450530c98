"""Airflow as `make ui` sets it up, its database, our roles, one account for each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from reengage.embedded.airflow import ACCOUNTS, environment
from reengage.embedded.layout import Layout
from reengage.embedded.postgres import Postgres
from reengage.keys import ensure_keyring
from reengage.settings import HOME
from sqlalchemy import create_engine, text

from log_in.running import Airflow, Server, engine

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def airflow(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    urls = _databases(server, "log_in_airflow", "log_in_store TEMPLATE store", "log_in_warehouse")
    ensure_keyring(home / "keys")
    variables = environment(Layout(HOME), urls["log_in_airflow"], 8080) | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": "https://airflow.example.org",
        "AIRFLOW__FAB__COOKIE_SECURE": "True",
        "AIRFLOW__FAB__CONFIG_FILE": str(home / "webserver_config.py"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "REENGAGE_STORE_URL": urls["log_in_store"],
        "REENGAGE_WAREHOUSE_URL": urls["log_in_warehouse"],
        "REENGAGE_KEYRING": str(home / "keys"),
    }
    made = Airflow(variables, engine(urls["log_in_airflow"]), home)
    made.run("airflow", "db", "migrate")
    accounts = home / "accounts.json"
    said = {name: {"role": role, "password": PASSWORD} for name, role in ACCOUNTS.items()}
    accounts.write_text(json.dumps(said), encoding="utf-8")
    made.run("reengage", "roles", "sync", "--accounts", str(accounts))
    yield made
    made.database.dispose()


@pytest.fixture(scope="session")
def first(airflow: Airflow) -> Iterator[Server]:
    """An api-server."""
    with airflow.serving() as running:
        yield running


@pytest.fixture(scope="session")
def second(airflow: Airflow) -> Iterator[Server]:
    """Another process of it."""
    with airflow.serving() as running:
        yield running


def _databases(server: Postgres, *created: str) -> dict[str, str]:
    made = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        for one in created:
            connection.execute(text(f"CREATE DATABASE {one}"))
    made.dispose()
    return {one.split()[0]: server.url(one.split()[0]) for one in created}
