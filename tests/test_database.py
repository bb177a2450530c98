"""What another host tells us travels by TLS that verifies it, or does not travel (SEC-18)."""

from __future__ import annotations

import pytest
from reengage import database
from reengage.errors import ConfigurationError

SETTING = "REENGAGE_WAREHOUSE_URL"
VARIABLES = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSSLMODE")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def opened(url: str) -> None:
    database.engine(url, setting=SETTING, connect_args={}).dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:canary@warehouse.example/d",
        "postgresql+psycopg://u:canary@warehouse.example/d?sslmode=prefer",
        "postgresql+psycopg://u:canary@warehouse.example/d?sslmode=require",
        "postgresql+psycopg://u:canary@warehouse.example/d?sslmode=verify-ca",
        "postgresql+psycopg://u:canary@192.0.2.7:5432/d",
        "postgresql+psycopg://u:canary@[2001:db8::7]/d",
        "postgresql+psycopg://u:canary@/d?host=warehouse.example",
        "postgresql+psycopg://u:canary@/d?host=/run/pg&host=warehouse.example:5432",
        "postgresql+psycopg://u:canary@localhost/d?hostaddr=192.0.2.7",
        "postgresql+psycopg://u:canary@/d?service=warehouse",
    ],
)
def test_another_host_is_not_reached_without_verified_tls(url: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{SETTING}.*sslmode=verify-full") as caught:
        opened(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u@warehouse.example/d?sslmode=verify-full&sslrootcert=/tls/ca.pem",
        "postgresql+psycopg://u@/d?host=warehouse.example&sslmode=verify-full",
        "postgresql+psycopg://u@/d",
        "postgresql+psycopg://u@/d?host=/run/pg",
        "postgresql+psycopg://u@localhost:5432/d",
        "postgresql+psycopg://u@127.0.0.1/d",
        "postgresql+psycopg://u@[::1]/d",
    ],
)
def test_verified_tls_and_this_host_are_taken(url: str) -> None:
    opened(url)


@pytest.mark.parametrize("name", ["PGHOST", "PGHOSTADDR", "PGSERVICE"])
def test_a_host_of_libpqs_variables_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "192.0.2.7")
    with pytest.raises(ConfigurationError, match="verified TLS"):
        opened("postgresql+psycopg://u@/d")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    opened("postgresql+psycopg://u@/d")


def test_a_process_has_one_engine_for_a_database() -> None:
    url = "postgresql+psycopg://u@/d"
    engine = database.engine(url, setting=SETTING, connect_args={"application_name": "a"})
    assert database.engine(url, setting=SETTING, connect_args={"application_name": "a"}) is engine
    assert database.engine(url, setting=SETTING, connect_args={}) is not engine
    kept = database.engine(url, setting=SETTING, connect_args={}, connections=1)
    assert database.engine(url, setting=SETTING, connect_args={}, connections=1) is not kept
