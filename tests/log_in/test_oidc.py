"""The page's example of OIDC, word for word, with an OpenID provider that is like Keycloak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from ssl import create_default_context
from urllib.parse import urlsplit

import httpx
import pytest
from reengage.settings import HOME
from simulators.certificates import good
from simulators.openid import OpenIdProvider, Person, openid_provider

from log_in.conftest import PASSWORD
from log_in.running import Airflow, Answer, Server
from log_in.test_limit import by_token, let_in

pytestmark = pytest.mark.long

PAGE = (HOME / "docs" / "people.md").read_text(encoding="utf-8")
ANSWERED_AT = "https://airflow.example.org/auth/oauth-authorized/keycloak"
_BROWSERS = count()


def example(heading: str) -> str:
    """The block of code under that heading."""
    found = re.search(rf"^### {heading}\n.*?^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert found
    return found[1]


@dataclass
class Practice:
    """Airflow with the page's configuration, and the practice's provider."""

    airflow: Airflow
    server: Server
    provider: OpenIdProvider
    trust: Path

    def log_in(self, name: str, *groups: str) -> tuple[str, Answer]:
        """As a browser: to the provider, back with its code, on. Gives the browser, where it is."""
        browser = f"oidc {next(_BROWSERS)}"
        self.provider.person = Person(name, groups)
        led = self.server.ask("GET", "/auth/login/keycloak", browser=browser)
        assert led.headers["location"].startswith(self.provider.url), led
        with httpx.Client(verify=create_default_context(cafile=self.trust)) as client:
            back = client.get(led.headers["location"]).headers["location"]
        assert back.startswith(f"{ANSWERED_AT}?"), back
        arrived = urlsplit(back)
        answer = self.server.ask("GET", f"{arrived.path}?{arrived.query}", browser=browser)
        if answer.status == 302:  # to Airflow's front page by its log-in's, which gives the token
            answer = self.server.ask("GET", answer.headers["location"], browser=browser)
        return browser, answer

    def opens(self, browser: str) -> dict[str, bool]:
        """Which of our pages that browser may open."""
        return {
            path: self.server.ask("GET", f"/reengage/{path}", browser=browser).status == 200
            for path in ("", "compliance", "compliance/disclosures")
        }


@pytest.fixture(scope="module")
def practice(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    base = tmp_path_factory.mktemp("oidc")
    certificates = good(base)
    bundle = base / "bundle.pem"
    bundle.write_bytes(certificates.ca.read_bytes())
    with openid_provider(certificates) as provider:
        config = base / "webserver_config.py"
        written = example("OIDC").replace("https://id.clinic.example.org", provider.url)
        config.write_text(written, encoding="utf-8")
        with airflow.serving(
            AIRFLOW__FAB__CONFIG_FILE=str(config), REQUESTS_CA_BUNDLE=str(bundle),
            OIDC_CLIENT_ID=provider.client_id, OIDC_CLIENT_SECRET=provider.client_secret,
        ) as server:  # fmt: skip
            yield Practice(airflow, server, provider, bundle)


@pytest.mark.parametrize(
    ("group", "role", "opened"),
    [
        ("clinic-analytics", "Analyst", {""}),
        ("clinic-compliance", "Compliance Officer", {"", "compliance", "compliance/disclosures"}),
        ("clinic-data-engineering", "Data Engineer", {""}),
    ],
)
def test_a_group_of_the_provider_is_a_role_and_its_pages(
    practice: Practice, group: str, role: str, opened: set[str]
) -> None:
    browser, _ = practice.log_in(f"of-{group}", group, "everybody")
    assert practice.airflow.roles_of(f"of-{group}") == {role}
    assert {path for path, may in practice.opens(browser).items() if may} == opened


@pytest.mark.parametrize("groups", [(), ("clinic-gardeners",), ("clinic-analytics/interns",)])
def test_any_other_group_is_no_role_and_opens_nothing(
    practice: Practice, groups: tuple[str, ...]
) -> None:
    name = f"other-{len(repr(groups))}"
    browser, _ = practice.log_in(name, *groups)
    assert practice.airflow.roles_of(name) == set()
    assert not any(practice.opens(browser).values())
    for path in ("/api/v2/dags", "/api/v2/connections"):
        assert practice.server.ask("GET", path, browser=browser).status == 403


def test_who_left_a_group_has_lost_its_role_at_the_next_log_in(practice: Practice) -> None:
    practice.log_in("mover", "clinic-compliance")
    browser, _ = practice.log_in("mover", "clinic-analytics")
    assert practice.airflow.roles_of("mover") == {"Analyst"}
    assert not practice.opens(browser)["compliance"]


def test_without_the_mapper_or_without_its_full_path_nobody_gets_a_role(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page says of both settings."""
    for setting in ("full_path", "maps_groups"):
        monkeypatch.setattr(practice.provider, setting, False)
        practice.log_in(setting, "clinic-compliance")
        assert practice.airflow.roles_of(setting) == set()


def test_a_token_of_another_issuer_is_no_log_in(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice.provider, "signs_as", "https://evil.example.net")
    browser, _ = practice.log_in("stranger", "clinic-compliance")
    assert practice.airflow.roles_of("stranger") == set()
    assert practice.server.ask("GET", "/api/v2/dags", browser=browser).status == 401


def test_a_service_account_still_gets_its_token_by_password(practice: Practice) -> None:
    """The daily audit's: beside OIDC, accounts of Airflow's own keep what they have."""
    assert let_in(by_token(practice.server, "auditor", PASSWORD))


def test_the_page_says_where_the_provider_sends_people_back_to() -> None:
    assert urlsplit(ANSWERED_AT).path in PAGE
    assert "`REQUESTS_CA_BUNDLE`" in PAGE
