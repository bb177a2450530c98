"""Guessing at every door of Airflow's that takes a password, in its real app, in two processes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from reengage.log_in.tries import OF_AN_ACCOUNT, OF_AN_ADDRESS, SECONDS
from sqlalchemy import text

from log_in.conftest import PASSWORD
from log_in.running import NOON, Airflow, Answer, Server, engine

pytestmark = pytest.mark.long

_HOURS = count()
_ADDRESSES = count()


@pytest.fixture(autouse=True)
def hour(first: Server, second: Server) -> None:
    """Each test has windows of its own."""
    first.now = second.now = NOON + timedelta(hours=next(_HOURS))


def somewhere() -> str:
    """An address that nobody has asked from."""
    number = next(_ADDRESSES)
    return f"198.51.{number // 250}.{number % 250 + 1}"


def token(server: Server, name: str, password: str, path: str, address: str | None) -> Answer:
    said = {"username": name, "password": password}
    return server.ask("POST", path, json=said, address=address or somewhere(), browser=path)


def by_token(server: Server, name: str, password: str, address: str | None = None) -> Answer:
    return token(server, name, password, "/auth/token", address)


def by_token_for_the_command_line(
    server: Server, name: str, password: str, address: str | None = None
) -> Answer:
    return token(server, name, password, "/auth/token/cli", address)


def by_line_feed(server: Server, name: str, password: str, address: str | None = None) -> Answer:
    return token(server, name, password, "/auth/token%0A", address)


def by_api(server: Server, name: str, password: str, address: str | None = None) -> Answer:
    said = {"username": name, "password": password, "provider": "db"}
    return server.ask(
        "POST", "/auth/api/v1/security/login", json=said, address=address or somewhere()
    )


def by_form(
    server: Server, name: str, password: str, address: str | None = None, browser: str = ""
) -> Answer:
    """As a browser does it: the form with its token against forgery first."""
    asked = {
        "browser": browser or f"{name}{next(_ADDRESSES)}", "address": address or somewhere(),
    }  # fmt: skip
    form = server.ask("GET", "/auth/login/", **asked)
    hidden = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
    assert hidden, form.text[:500]
    said = {"username": name, "password": password, "csrf_token": hidden[1]}
    headers = {"referer": "https://airflow.example.org/auth/login/", "accept": "text/html"}
    return server.ask("POST", "/auth/login/", data=said, headers=headers, **asked)


Door = Callable[..., Answer]
DOORS: list[Door] = [by_form, by_token, by_token_for_the_command_line, by_api]


def let_in(answer: Answer) -> bool:
    """A token, or the way on that is not back to the form."""
    if answer.status in (200, 201):
        return "access_token" in answer.text
    return answer.status == 302 and "/login" not in answer.headers["location"]


@pytest.mark.parametrize("door", DOORS)
def test_guesses_at_an_account_end_in_a_429_and_the_password_counts_after_the_wait(
    door: Door, first: Server, second: Server
) -> None:
    """From many addresses, at two processes in turn: SEC-06."""
    guessed = [
        door((first, second)[number % 2], "analyst", f"guess {number}")
        for number in range(OF_AN_ACCOUNT)
    ]
    assert [one for one in guessed if one.status == 429 or let_in(one)] == []
    for server in (first, second):
        refused = door(server, "Analyst", PASSWORD)  # the right one, too
        assert refused.status == 429
        assert refused.headers["retry-after"] == str(SECONDS)
        assert "access_token" not in refused.text
        assert "try again in 10 minutes" in refused.text
        assert let_in(door(server, "engineer", PASSWORD))
    first.now += timedelta(seconds=SECONDS - 1)
    assert door(first, "analyst", PASSWORD).headers["retry-after"] == "1"
    first.now += timedelta(seconds=1)
    assert let_in(door(first, "analyst", PASSWORD))


def test_all_doors_count_together(first: Server) -> None:
    for number in range(OF_AN_ACCOUNT):
        assert DOORS[number % len(DOORS)](first, "analyst", "a guess").status != 429
    for door in (*DOORS, by_line_feed):
        assert door(first, "analyst", PASSWORD).status == 429


def test_one_address_that_tries_many_accounts_is_stopped_and_others_are_not(first: Server) -> None:
    guesser = somewhere()
    for number in range(OF_AN_ADDRESS):
        assert by_token(first, f"account{number}", "", guesser).status == 400
    assert by_token(first, "compliance", PASSWORD, guesser).status == 429
    assert let_in(by_token(first, "compliance", PASSWORD))


def test_who_knows_the_password_may_log_in_as_often_as_they_like(first: Server) -> None:
    home = somewhere()
    for _ in range(OF_AN_ACCOUNT - 1):
        assert by_token(first, "auditor", "mistyped", home).status == 401
    for _ in range(3):
        for door in DOORS:
            assert let_in(door(first, "auditor", PASSWORD, home))
    by_token(first, "auditor", "mistyped", home)
    assert by_token(first, "auditor", PASSWORD, home).status == 429


def test_a_log_in_that_could_be_read_in_two_ways_is_not_read(first: Server) -> None:
    body = (
        '--x\r\ncontent-disposition: form-data; name="username"\r\n\r\nanalyst\r\n'
        f'--x\r\ncontent-disposition: form-data; name="password"\r\n\r\n{PASSWORD}\r\n--x--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    asked = first.ask("POST", "/auth/login/", content=body, headers=headers)
    assert asked.status == 415
    long = first.ask("POST", "/auth/token", content=" " * 17_000)
    assert long.status == 413


def test_nothing_that_was_typed_is_kept_or_logged(first: Server, airflow: Airflow) -> None:
    for _ in range(OF_AN_ACCOUNT + 1):
        by_token(first, "Meine-Katze-1998", "hunter2-hunter2", "203.0.113.77")
    kept = engine(airflow.variables["REENGAGE_STORE_URL"])
    with kept.connect() as connection:
        rows = repr(connection.execute(text("SELECT * FROM portal_pace")).all()).lower()
    kept.dispose()
    log = "".join(first.log)
    assert "too many tries to log in, of one account" in log
    assert "hunter2" not in log + rows
    assert "katze" not in rows
    assert "203.0.113.77" not in rows


def test_without_the_store_each_process_counts_for_itself(airflow: Airflow, tmp_path: Path) -> None:
    """Whoever has to mend the store can log in; nobody guesses without a limit."""
    nowhere = f"postgresql+psycopg://postgres@/nowhere?host={tmp_path}"
    with airflow.serving(REENGAGE_STORE_URL=nowhere) as alone:
        assert let_in(by_token(alone, "admin", PASSWORD))
        for _ in range(OF_AN_ACCOUNT):
            assert by_token(alone, "analyst", "a guess").status == 401
        assert by_token(alone, "analyst", PASSWORD).status == 429
        assert let_in(by_token(alone, "admin", PASSWORD))
        alone.now += timedelta(seconds=SECONDS)
        assert let_in(by_token(alone, "analyst", PASSWORD))
        log = "".join(alone.log)
    assert "counted by this process alone" in log
    assert str(tmp_path) not in log
