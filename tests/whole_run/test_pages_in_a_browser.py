"""The pages in a real Airflow, by real log-ins, in a real browser: what opens for whom, and how.

Needs Debian's `chromium` and the Python package `playwright`; nothing is downloaded. With
REENGAGE_PICTURES=docs/pictures some are also written there, light and dark, 1440 and 390 wide.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from reengage.reports.app import PREFIX, build_app
from reports.following_of import told_on
from reports.test_rules import FORMS, MAY_OPEN

from whole_run.conftest import AS_OF, House

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install it"),
]

PICTURES = os.environ.get("REENGAGE_PICTURES")
RUN = "health_education"
REMINDERS = "medication_reminder"
HELD, ASKED = "held", "asked"
DAYS = [date(2024, 12, 31), date(2025, 1, 31), date(2025, 2, 28)]
USERS = {"engineer": "engineer", "analyst": "analyst", "compliance": "officer", "admin": "admin"}
"""Account -> as the specification names its role."""
WIDTHS = {1440: 900, 390: 844}
SCHEMES = ("light", "dark")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
APP = build_app()
ROUTES = {route.name: route for route in APP.routes if isinstance(route, APIRoute)}
PAGES = ("overview", "campaign", "run", "trial", "compliance", "ledger", "entry", "disclosures",
         "unknown", "agreements", "approvals", "alerts", "preview", "access", "keys")  # fmt: skip
SHOWN = {"overview": "compliance", "campaign": "analyst",
         "compliance": "compliance", "ledger": "compliance", "approvals": "compliance",
         "disclosures": "compliance"}  # fmt: skip
"""Pictures, and as whom."""


@dataclass
class Site:
    """A running Airflow, a browser, and everybody logged in."""

    address: str
    dag_run_id: str
    house: House = field(repr=False)
    browser: Any = field(repr=False)
    sessions: dict[str, Any] = field(repr=False)

    def path(self, name: str) -> str:
        """An address that the route answers, below Airflow's."""
        dag = f"reengage_{RUN}"
        values = {
            "static": {"name": "reports.css"},
            "campaign": {"slug": REMINDERS},
            "hold": {"slug": HELD},
            "trial": {"slug": RUN},
            "tried": {"slug": RUN},
            "campaign_export": {"slug": REMINDERS, "form": "csv"},
            "dag": {"dag_id": dag},
            "run": {"dag_id": dag, "dag_run_id": self.dag_run_id},
            "run_export": {"dag_id": dag, "dag_run_id": self.dag_run_id, "form": "csv"},
            "entry": {"index": "0"},
            "ledger_export": {"form": "csv"},
            "resolve": {"letter": "00000000-0000-0000-0000-000000000000"},
        }.get(name, {})
        return PREFIX + str(APP.url_path_for(name, **values))

    def page(self, user: str, scheme: str = "light", width: int = 1440) -> Any:
        """A window of theirs."""
        page = self.sessions[user].new_page()
        page.set_default_timeout(30_000)
        page.set_viewport_size({"width": width, "height": WIDTHS[width]})
        page.emulate_media(color_scheme=scheme)
        return page


@pytest.fixture(scope="module")
def site(house: House) -> Iterator[Site]:
    state, dag_run_id = house.run(RUN)
    assert state == "success"
    told_on(
        house.site.postgres.url("store"), REMINDERS, DAYS, {"write": 1200, "holdout": 400},
        date(2024, 12, 2),
    )  # fmt: skip
    airflow = house.site.airflow
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        sessions = {
            user: _logged_in(browser, airflow.address, user, airflow.log_ins[user].password)
            for user in USERS
        }
        yield Site(airflow.address, dag_run_id, house, browser, sessions)
        browser.close()


def _logged_in(browser: Any, address: str, user: str, password: str) -> Any:
    context = browser.new_context(locale="en-US", base_url=address)
    page = context.new_page()
    page.goto("/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.get_by_role("link", name="Reports").wait_for(timeout=30_000)
    page.close()
    return context


def _answer(site: Site, context: Any, name: str) -> int:
    """The status of a route, asked as the pages ask."""
    if "POST" in ROUTES[name].methods:
        asked = context.request.post(
            site.path(name), form=FORMS[name], headers={"origin": site.address}, max_redirects=0
        )
    else:
        asked = context.request.get(site.path(name), max_redirects=0)
    return int(asked.status)


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_a_route_opens_to_whom_the_specification_says(name: str, site: Site) -> None:
    opened = {user: _answer(site, site.sessions[user], name) for user in USERS}
    for user, status in opened.items():
        if USERS[user] in MAY_OPEN[name]:
            # There is no such letter to resolve, no such patient; nobody pauses what is paused.
            assert status in (200, 303) or (name in ("resolve", "accounting") and status != 403)
        else:
            assert status == 403, (name, user)
    stranger = site.browser.new_context(base_url=site.address)
    assert _answer(site, stranger, name) == (200 if None in MAY_OPEN[name] else 401)
    stranger.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_every_reader_and_scrolls_down_only(name: str, site: Site) -> None:
    for user, (width, scheme) in zip(_may(name), product(WIDTHS, SCHEMES), strict=False):
        page = site.page(user, scheme, width)
        assert page.goto(site.path(name)).status == 200
        _pleases(page, f"{name} as {user}, {scheme}, {width}")
        page.close()


def _may(name: str) -> list[str]:
    """Four users, over and over those who may open it."""
    allowed = [user for user, role in USERS.items() if role in MAY_OPEN[name]]
    return (allowed * 4)[:4]


def _pleases(page: Any, what: str) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{what} scrolls sideways by {wide} px"
    found = axe.Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    violations = [
        (one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]
    ]
    assert violations == [], what


def test_an_analyst_learns_in_three_clicks_whether_the_reminders_brought_people_back(
    site: Site,
) -> None:
    page = site.page("analyst")
    page.goto("/")
    clicks = 0
    page.get_by_role("link", name="Reports").click()
    clicks += 1
    inside = page.frame_locator("iframe")
    inside.get_by_role("link", name="Medication reminder").first.click()
    clicks += 1
    answer = inside.get_by_role("region", name="Did it bring patients back in January 2025?")
    said = answer.inner_text()
    assert "Yes, more patients came back" in said
    assert "95 % interval" in said
    assert answer.bounding_box()["y"] < 600  # without scrolling
    assert clicks <= 3
    page.close()


def test_the_tabs_of_a_campaigns_dag_and_of_its_run_lead_to_its_pages(site: Site) -> None:
    page = site.page("analyst")
    page.goto(f"/dags/reengage_{REMINDERS}")
    page.get_by_role("link", name="Re-engagement").click()
    page.frame_locator("iframe").get_by_role("heading", name="Medication reminder").wait_for()
    page.goto(f"/dags/reengage_{RUN}/runs/{site.dag_run_id}")
    page.get_by_role("link", name="Re-engagement").click()
    page.frame_locator("iframe").get_by_role("heading", name="Health education").wait_for()
    page.close()


def test_a_session_that_ends_in_the_middle_asks_for_a_log_in(site: Site) -> None:
    context = site.browser.new_context(base_url=site.address)
    context.add_cookies(
        [{"name": "_token", "value": "ey.not.one", "url": site.address},
         {"name": "session", "value": "gone", "url": site.address}]
    )  # fmt: skip
    assert context.request.get(site.path("overview"), max_redirects=0).status == 401
    page = context.new_page()
    page.goto(site.path("overview"))
    page.wait_for_selector("input[name=username]", timeout=30_000)
    context.close()


def test_a_patients_letter_looks_as_its_reader_sees_it_and_breaks_no_policy(site: Site) -> None:
    page = site.page("compliance")
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text))
    page.goto(site.path("preview"))
    page.select_option("select[name=campaign]", RUN)
    page.fill("input[name=patient]", _reader(site))
    page.press("input[name=patient]", "Enter")
    page.wait_for_selector("iframe.letter")
    assert "?" not in page.url
    frame = page.frame_locator("iframe.letter")
    frame.get_by_text("Prairie Family Health").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert refused == []
    _pleases(page, "a patient's letter")
    if PICTURES:
        _picture(page, "preview-letter", "light", 1440)
    page.close()


def _reader(site: Site) -> str:
    """Somebody who would get a letter."""
    for (key,) in site.house.rows("SELECT patient_key FROM contract.patient", "warehouse"):
        asked = site.sessions["compliance"].request.post(
            site.path("previewed"), form={"campaign": RUN, "patient": str(key)},
            headers={"origin": site.address},
        )  # fmt: skip
        if "<iframe" in asked.text():
            return str(key)
    raise AssertionError("nobody would get a letter")


def test_a_campaign_is_paused_and_let_go_on_with_the_keyboard(site: Site) -> None:
    page = site.page("compliance")
    path = PREFIX + str(APP.url_path_for("campaign", slug=RUN))
    for reason, said in (("a wrong number in it", "Paused by"), ("mended", "Last resumed by")):
        page.goto(path)
        page.focus("input[name=reason]")
        page.keyboard.type(reason)
        page.keyboard.press("Enter")
        page.get_by_text(f"{said} airflow:compliance").first.wait_for()
        assert reason in page.locator("#hold").inner_text()
    page.close()


def test_what_waits_leads_from_airflows_frame_to_airflows_own_page_of_it(site: Site) -> None:
    house = site.house
    file = house.site.layout.home / "campaigns" / f"{ASKED}.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    dag_run_id = house.trigger(ASKED)
    house.question(ASKED, dag_run_id)
    page = site.page("compliance")
    page.goto("/")
    page.get_by_role("link", name="Reports").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="answer in Airflow").first.click()
    page.wait_for_url(f"**/runs/{dag_run_id}/tasks/preflight/required_actions*")
    page.get_by_text("1 changed. Send by it?").first.wait_for()
    page.close()
    analyst = site.page("analyst")
    analyst.goto(site.path("overview"))
    assert "waits for an answer: a change of campaign/asked" in analyst.inner_text("main")
    analyst.close()
    assert house.answer(ASKED, dag_run_id, "Reject", reason="a test") == "failed"
    overview = site.page("compliance")
    overview.goto(site.path("overview"))
    assert "answer in Airflow" not in overview.inner_text("main")
    overview.close()


@pytest.mark.skipif(not PICTURES, reason="REENGAGE_PICTURES names no folder")
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_pictures(name: str, site: Site) -> None:
    for width, scheme in product(WIDTHS, SCHEMES):
        page = site.page(SHOWN[name], scheme, width)
        page.goto(site.path(name))
        page.wait_for_load_state("networkidle")
        _picture(page, name, scheme, width)
        page.close()


def _picture(page: Any, name: str, scheme: str, width: int) -> None:
    taken = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": WIDTHS[width]})
    _keep(taken, Path(str(PICTURES)) / f"ui-{name}-{scheme}-{width}.png")


def _keep(taken: bytes, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(128).save(path, optimize=True)


assert DAYS[-1] < AS_OF
