"""Asking Airflow: whatever it answers is an error with a way out, and never shows a secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from reengage.audit import airflow_api
from reengage.audit.airflow_api import AirflowApi, AirflowSilentError
from reengage.errors import ConfigurationError, ReengageError
from simulators.airflow import PASSWORD, FakeAirflow

SINCE = datetime(2026, 5, 4, tzinfo=UTC)


def asked(url: str) -> ReengageError:
    """The error that asking gives."""
    with pytest.raises(ReengageError) as raised, AirflowApi(url) as api:
        list(api.attempts_since(SINCE))
    shown = f"{raised.value} {raised.value!r} {raised.value.__cause__!r}"
    assert PASSWORD not in shown
    assert "pass%2Fword" not in shown
    assert "token-" not in shown
    return raised.value


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "is no address"),
        ("airflow.example.org", "is no address"),
        ("ftp://a:b@airflow.example.org", "is no address"),
        ("https://[::1", "is no address"),
        ("https://airflow.example.org", "names no account"),
        ("https://auditor@airflow.example.org", "names no account"),
        (f"http://auditor:{'pass%2Fword'}@airflow.example.org", "in clear"),
        ("http://auditor:x@10.0.0.1", "in clear"),
        ("http://auditor:x@127.0.0.1.example.org", "in clear"),
    ],
)
def test_an_address_that_will_not_do_is_refused_before_anything_is_sent(
    url: str, fault: str
) -> None:
    error = asked(url)
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith(f"setting REENGAGE_AIRFLOW_URL {fault}") or fault in str(error)


def test_a_wrong_password_is_told_and_not_shown(airflow: FakeAirflow) -> None:
    error = asked(airflow.url.replace("4711", "4712"))
    assert isinstance(error, ConfigurationError)
    assert "refuses the account of REENGAGE_AIRFLOW_URL (401)" in str(error)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ((403, b"{}"), ConfigurationError, "(403) for task instances; give it the right"),
        ((500, b"oh"), AirflowSilentError, "answered 500 when asked for task instances"),
        ((302, b""), AirflowSilentError, "answered 302"),
        ((200, b"<html>"), AirflowSilentError, "something else than expected for task instances"),
        ((200, b"[]"), AirflowSilentError, "something else than expected for /api/v2/dags/~"),
        ((200, b'{"task_instances": [{}]}'), AirflowSilentError, "something else than expected"),
    ],
)
def test_whatever_else_it_answers_is_told(
    fault: tuple[int, bytes], kind: type[ReengageError], said: str, airflow: FakeAirflow
) -> None:
    airflow.fault = fault
    error = asked(airflow.url)
    assert type(error) is kind
    assert said in str(error)


def test_one_that_is_away_is_told(airflow: FakeAirflow) -> None:
    error = asked("http://a:b@127.0.0.1:1")
    assert "does not answer (ConnectError)" in str(error)


def test_a_token_that_lapses_is_asked_for_again(airflow: FakeAirflow) -> None:
    airflow.lapses = 2
    with AirflowApi(airflow.url) as api:
        assert list(api.attempts_since(SINCE)) == []
    assert airflow.asked.count("/auth/token") == 2


def test_pages_without_end_are_not_read_without_end(
    airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_api, "PAGES", 3)
    airflow.fault = (200, b'{"task_instances": [], "next_cursor": "again"}')
    assert "more than 300 task instances" in str(asked(airflow.url))
    assert len(airflow.asked) == 4
