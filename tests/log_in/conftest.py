"""Airflow as `make ui` sets it up, its database, our roles, one account for each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from databases import create_database
from reengage.embedded.airflow import ACCOUNTS, environment
from reengage.embedded.layout import Layout
from reengage.embedded.postgres import Postgres
from reengage.keys import ensure_keyring
from reengage.settings import HOME

from log_in.running import Airflow, Server, engine

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def airflow(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    templates = {"airflow": "template1", "store": "store", "warehouse": "template1"}
    urls = {
        name: create_database(server, template, f"log_in_{name}")
        for name, template in templates.items()
    }
    ensure_keyring(home / "keys")
    variables = environment(Layout(HOME), urls["airflow"], 8080) | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": "https://airflow.example.org",
        "AIRFLOW__FAB__COOKIE_SECURE": "True",
        "AIRFLOW__FAB__CONFIG_FILE": str(home / "webserver_config.py"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "REENGAGE_STORE_URL": urls["store"],
        "REENGAGE_WAREHOUSE_URL": urls["warehouse"],
        "REENGAGE_KEYRING": str(home / "keys"),
    }
    made = Airflow(variables, engine(urls["airflow"]), home)
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
