"""Sessions end, and a closed account is closed at the next request (SEC-05, SEC-13)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest

from log_in.conftest import PASSWORD
from log_in.running import NOON, Airflow, Answer, Server
from log_in.test_limit import by_form, by_token, let_in

pytestmark = pytest.mark.long

ASKED = "/api/v2/dags"
IDLE = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def tomorrow(first: Server) -> None:
    first.now = NOON + timedelta(days=1)


@pytest.fixture
def browser(first: Server, request: pytest.FixtureRequest) -> str:
    """One in which the engineer has logged in."""
    name = request.node.name
    answer = by_form(first, "engineer", PASSWORD, browser=name)
    assert let_in(answer)
    opened = first.ask("GET", answer.headers["location"], browser=name)
    assert opened.status == 302
    assert opened.cookies.keys() >= {"session", "_token"}
    assert first.ask("GET", ASKED, browser=name).status == 200
    return name


@pytest.fixture
def reopened(airflow: Airflow) -> Iterator[None]:
    yield
    airflow.change("UPDATE ab_user SET active = true WHERE username = 'engineer'")


def after(first: Server, airflow: Airflow, browser: str, passed: timedelta) -> tuple[Answer, str]:
    """What a browser gets that nobody used for so long, and where its window is led then.

    All that its session is known by is moved into the past by that much: the token in its cookie,
    signed anew, and the session's end in Airflow's database.
    """
    cookies = first.ask("GET", ASKED, browser=browser).cookies
    secret = airflow.variables["AIRFLOW__API_AUTH__JWT_SECRET"]
    claims = jwt.decode(cookies["_token"], secret, ["HS512"], options={"verify_aud": False})
    moved = {name: claims[name] - passed.total_seconds() for name in ("iat", "nbf", "exp")}
    header = {"kid": jwt.get_unverified_header(cookies["_token"]).get("kid")}
    older = jwt.encode({**claims, **moved}, secret, "HS512", headers=header)
    airflow.change("UPDATE session SET expiry = expiry - CAST(:passed AS interval)", passed=passed)
    cookie = {"cookie": f"session={cookies['session']}; _token={older}"}
    idle = f"{browser} later"  # a client without cookies of its own
    answer = first.ask("GET", ASKED, headers=cookie, browser=idle)
    form = first.ask("GET", "/auth/login/", headers=cookie, browser=f"{idle} on")
    return answer, form.text if form.status == 200 else form.headers["location"]


def test_a_session_that_nobody_uses_ends(first: Server, airflow: Airflow, browser: str) -> None:
    answer, form = after(first, airflow, browser, IDLE + timedelta(seconds=10))
    assert answer.status == 401
    assert 'name="password"' in form


def test_one_that_is_a_minute_younger_goes_on(
    first: Server, airflow: Airflow, browser: str
) -> None:
    answer, led_to = after(first, airflow, browser, IDLE - timedelta(minutes=1))
    assert answer.status == 200
    assert "password" not in led_to


@pytest.mark.usefixtures("reopened")
def test_a_closed_account_is_turned_away_at_its_next_request(
    first: Server, second: Server, airflow: Airflow, browser: str
) -> None:
    token = by_token(first, "engineer", PASSWORD).json["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    for server in (first, second):
        assert server.ask("GET", ASKED, headers=bearer, browser="api").status == 200
    airflow.change("UPDATE ab_user SET active = false WHERE username = 'engineer'")
    for server in (first, second):
        asked = [server.ask("GET", path, headers=bearer, browser="api").status
                 for path in (ASKED, "/reengage/")]  # fmt: skip
        assert asked == [403, 401]
    assert first.ask("GET", ASKED, browser=browser).status == 403
    assert not let_in(by_form(first, "engineer", PASSWORD))
    assert by_token(first, "engineer", PASSWORD).status == 401
