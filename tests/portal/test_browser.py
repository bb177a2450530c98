"""The patient's whole way in a real browser, by the link of a real letter; and for every reader.

The link is that of the letter's notice in the Maildir of the embedded relay (patients.py).

Needs Debian's `chromium` and the Python package `playwright`; nothing is downloaded. With
REENGAGE_PICTURES=docs/pictures each state is also written there, on a phone and on a desk, light
and dark.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from patients import CAMPAIGN, Portal, Waiting, confirmation
from reengage.pipeline.deposits import seal_deposit
from reengage.sealing.factor import Factor, verifier
from reengage.sealing.portal import Page, deposit
from sealed import CANARY, PORTAL

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install it")

PICTURES = os.environ.get("REENGAGE_PICTURES")
PHONE, DESK = {"width": 320, "height": 640}, {"width": 1280, "height": 800}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PEERS = count(1)
NEW = "by.browser@example.net"


@pytest.fixture(scope="module")
def browser(portal: Portal) -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                f"--host-resolver-rules=MAP portal.prairie.example.org 127.0.0.1:{portal.port}",
                "--no-sandbox",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture
def make_page(browser: Any) -> Iterator[Any]:
    """Makes a page; afterwards it must have fetched from the portal only, and met no fault."""
    opened: list[Any] = []

    def make(**options: Any) -> Any:
        context = browser.new_context(
            ignore_https_errors=True,
            extra_http_headers={"x-forwarded-for": f"198.51.100.{next(_PEERS)}"},
            **{"locale": "en-US", "viewport": DESK, **options},
        )
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.asked, page.faults = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "console",
            lambda line: (
                page.faults.append(line.text)
                if "Content Security Policy" in line.text or "Trusted" in line.text
                else None
            ),
        )
        opened.append((context, page))
        return page

    yield make
    for context, page in opened:
        assert page.faults == []
        assert [url for url in page.asked if not url.startswith(PORTAL.removesuffix("m/"))] == []
        assert context.cookies() == []
        context.close()


def answer(page: Any, year: str = "1970", zip_code: str = "68102") -> None:
    for name, value in {"month": "1", "day": "1", "year": year, "second": zip_code}.items():
        page.fill(f"#{name}", value)
    page.click("#open")


def heading(page: Any, text: str) -> None:
    playwright.expect(page.locator("h1:visible")).to_have_text(text)


def looks(page: Any, name: str) -> None:
    """For everybody: no violation that axe-core knows of, no sideways scrolling; and a picture."""
    both = PICTURES or name in ("ask", "letter", "preferences")  # the others in the harder one
    for scheme in ("light", "dark") if both else ("dark",):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
        violations = [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]]
        assert violations == [], (name, scheme)
        for width, view in ((PHONE, "phone"), (DESK, "desk")):
            page.set_viewport_size(width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width["width"]
            if PICTURES:
                path = Path(PICTURES) / f"portal-{name}-{view}-{scheme}.png"
                page.screenshot(path=path, full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESK)


def test_a_patient_reads_a_letter_says_how_to_be_written_to_and_leaves(
    portal: Portal, make_page: Any
) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    heading(page, "You have a secure letter")
    looks(page, "ask")
    answer(page, year="1971")
    playwright.expect(page.locator("#errors")).to_contain_text("We could not open a letter")
    playwright.expect(page.locator("#errors")).to_be_focused()
    looks(page, "wrong")
    portal.without_waiting(one.message_id)
    answer(page)
    playwright.expect(page.locator("#text")).to_contain_text(f"{CANARY} {one.key}")
    assert "#" not in page.url  # the key has left the address bar
    looks(page, "letter")
    page.emulate_media(media="print")
    assert not page.locator("#print").is_visible()
    assert not page.locator("footer").is_visible()  # the letter has its own
    assert page.locator("#text").is_visible()
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / "portal-print.png", full_page=True)
    assert page.pdf().startswith(b"%PDF-")
    page.emulate_media(media="screen")
    page.click("#how")
    heading(page, "How we write to you")
    looks(page, "preferences")
    page.check("#c-health_education")
    page.check("#l-es")
    page.click("#preference-form button")
    playwright.expect(page.locator("#saved")).to_have_text(re.compile("Saved"))
    playwright.expect(page.locator("#c-health_education")).to_be_disabled()
    page.fill("#address", "not an address")
    page.click("#address-form button:text('Send')")
    playwright.expect(page.locator("#address-error")).to_contain_text("Enter an e-mail address")
    page.fill("#address", "new@example.net")
    page.click("#address-form button:text('Send')")
    playwright.expect(page.locator("#address-sent")).to_contain_text("on its way")
    page.click("#back")
    playwright.expect(page.locator("#text")).to_contain_text(f"{CANARY} {one.key}")
    said = portal.rows("SELECT campaign FROM opt_out WHERE patient = :p", p=one.patient)
    assert [row["campaign"] for row in said] == ["health_education"]
    assert not [url for url in page.asked if one.fragment in url]


def test_wrong_answers_lock_the_letter_and_the_page_says_whom_to_call(
    portal: Portal, make_page: Any
) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    for _ in range(5):
        portal.without_waiting(one.message_id)
        heading(page, "You have a secure letter")
        answer(page, zip_code="10001")
        page.wait_for_selector("#errors:not([hidden]):focus, #locked:not([hidden])")
    heading(page, "This letter is locked")
    playwright.expect(page.locator("#locked a")).to_have_attribute("href", "tel:+14025550100")
    looks(page, "locked")


def test_who_answers_too_early_is_told_for_how_long_to_wait(portal: Portal, make_page: Any) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    answer(page, zip_code="10001")
    playwright.expect(page.locator("#errors")).to_contain_text("could not open")
    answer(page)
    playwright.expect(page.locator("#errors")).to_contain_text(re.compile("again in [12] seconds"))


def test_an_empty_or_impossible_answer_is_told_at_its_field_and_not_sent(
    portal: Portal, make_page: Any
) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    page.fill("#month", "2")
    page.fill("#day", "30")
    page.fill("#year", "1970")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#error-list li")).to_have_count(2)
    page.click("#error-list a >> nth=1")
    playwright.expect(page.locator("#second")).to_be_focused()
    assert not [url for url in page.asked if "/api/" in url]


@pytest.mark.parametrize("what", ["truncated", "none", "altered", "another's"])
def test_a_link_that_is_not_whole_is_told_so(portal: Portal, make_page: Any, what: str) -> None:
    one, other = portal.next(), portal.letters[0]
    page = make_page()
    link, _, key = one.link.partition("#")
    changed = {
        "truncated": key[:-3], "none": "", "another's": other.fragment,
        "altered": ("B" if key[0] != "B" else "C") + key[1:],
    }[what]  # fmt: skip
    page.goto(f"{link}#{changed}")
    if what in ("truncated", "none"):
        heading(page, "This link is not complete")
        if what == "none":
            looks(page, "incomplete")
        return
    answer(page)
    playwright.expect(page.locator("#errors")).to_contain_text("does not fit the letter")


def test_whoever_got_the_letter_by_mistake_says_so(portal: Portal, make_page: Any) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    page.click("#ask summary")
    page.click("#ask [data-report]")
    heading(page, "Thank you for telling us")
    looks(page, "reported")
    assert portal.rows("SELECT reported_at FROM portal_guess WHERE message_id = :m",
                       m=one.message_id)[0]["reported_at"]  # fmt: skip


def test_the_page_is_in_the_readers_language_and_changes_it_with_the_key(
    portal: Portal, make_page: Any
) -> None:
    one = portal.next()
    page = make_page(locale="es-MX")
    page.goto(one.link)
    heading(page, "Tiene una carta segura")
    looks(page, "ask-es")
    entries = page.evaluate("history.length")
    page.click("#other-language")
    heading(page, "You have a secure letter")
    answer(page)
    playwright.expect(page.locator("#text")).to_contain_text(f"{CANARY} {one.key}")
    assert page.evaluate("history.length") == entries  # none is left that has the key


def test_the_keyboard_alone_opens_a_letter(portal: Portal, make_page: Any) -> None:
    one = portal.next()
    page = make_page(viewport=PHONE)
    page.goto(one.link)
    heading(page, "You have a secure letter")
    page.focus("body")
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id || document.activeElement.tagName")
        seen.append(focused)
        value = {"month": "1", "day": "1", "year": "1970", "second": "68102"}.get(focused)
        if value:
            page.keyboard.type(value)
        if focused == "open":
            page.keyboard.press("Enter")
            break
    playwright.expect(page.locator("#text")).to_contain_text(f"{CANARY} {one.key}")
    assert seen[:2] != seen[2:4]


def test_without_javascript_the_page_says_what_to_do(portal: Portal, make_page: Any) -> None:
    page = make_page(java_script_enabled=False)
    page.goto(portal.letters[0].link)
    assert page.locator("noscript").count() == 1
    assert "call us" in page.locator("main").inner_text()
    assert page.locator("main a[href='tel:+14025550100']").first.is_visible()
    if PICTURES:
        page.set_viewport_size(PHONE)
        page.screenshot(path=Path(PICTURES) / "portal-no-script-phone-light.png", full_page=True)


@pytest.mark.parametrize("script", [True, False])
def test_a_patient_opts_out_by_the_letters_link(
    portal: Portal, make_page: Any, script: bool
) -> None:
    one = portal.next()
    page = make_page(java_script_enabled=script)
    page.goto(PORTAL.removesuffix("/m/") + one.opt_out)
    heading(page, "Stop our e-mails?")
    if script:
        looks(page, "opt-out")
    page.click("button:text('Stop e-mails like this one')")
    heading(page, "Done")
    if script:
        looks(page, "opt-out-done")
    said = portal.rows("SELECT campaign FROM opt_out WHERE patient = :p", p=one.patient)
    assert [row["campaign"] for row in said] == [CAMPAIGN]


def test_a_new_address_is_confirmed_by_a_press(portal: Portal, make_page: Any) -> None:
    one = portal.next()
    session = portal.session(one)
    portal.relay.letters.clear()
    with portal.client() as client:
        path = f"/api/letters/{one.message_id}/address"
        assert client.post(path, json={"address": NEW}, headers=session).status_code == 202
    portal.tend()
    [message] = [sent for sent in portal.relay.letters if NEW in sent.rcpt]
    page = make_page()
    page.goto(PORTAL.removesuffix("/m/") + confirmation(message.content))
    heading(page, "Is this your e-mail address?")
    looks(page, "confirm")
    wishes = "SELECT kind FROM preference WHERE patient = :p"
    assert portal.rows(wishes, p=one.patient) == []
    page.click("main button")
    heading(page, "Thank you")
    assert [row["kind"] for row in portal.rows(wishes, p=one.patient)] == ["address"]


def test_a_link_to_confirm_that_is_none_says_so_after_the_press(make_page: Any) -> None:
    page = make_page()
    page.goto(PORTAL.removesuffix("m/") + "confirm/x")
    heading(page, "Is this your e-mail address?")
    page.click("main button")
    heading(page, "This link does not work")
    assert page.locator("h1").count() == 1


def test_markup_in_a_letter_neither_runs_nor_fetches(portal: Portal, make_page: Any) -> None:
    """A letter's text is data here, too: words and structure are shown, nothing else."""
    html = (
        "<html lang='en'><body><h1>Hello</h1><p onclick='x()'>fine <b>bold</b></p>"
        "<script>document.title='ran'</script><img src='https://evil.example/x.png'>"
        "<iframe src='https://evil.example/'></iframe><svg onload='x()'></svg>"
        "<a href='javascript:x()'>no</a> <a href='https://practice.example/'>yes</a>"
        "<div style='display:none'>unseen</div>"
        "<table><tr><td><a href='tel:+1402'>Call</a></td></tr><tr><td>Regards</td></tr></table>"
        "</body></html>"
    )
    one = resealed(portal, portal.next(), html)
    page = make_page()
    page.goto(one.link)
    answer(page)
    playwright.expect(page.locator("#text h2")).to_have_text("Hello")
    shown = page.locator("#text").inner_html()
    for gone in ("script", "img", "iframe", "svg", "onclick", "javascript", "unseen", "style"):
        assert gone not in shown
    assert page.locator("#text a[href='https://practice.example/']").count() == 1
    assert "ran" not in page.title()
    cells = page.locator("#text div").all_inner_texts()
    assert [cell.strip() for cell in cells] == ["Call", "Regards"]  # apart, as in the e-mail


def resealed(portal: Portal, one: Waiting, html: str) -> Waiting:
    """The same letter with other words, as `letter` would have sealed them."""
    made = deposit(Page("Subject <b>", "text", html))
    sealed = seal_deposit(portal.run.keyring, made.message_id, made.ciphertext)
    known = verifier(Factor(date(1970, 1, 1), "68102"), made.message_id,
                     portal.run.keyring.authenticator)  # fmt: skip
    portal.execute(
        "UPDATE portal_message SET message_id = :new, sealed = :sealed, verifier = :known"
        " WHERE message_id = :old",
        new=made.message_id, sealed=sealed, known=known, old=one.message_id,
    )  # fmt: skip
    return replace(one, message_id=made.message_id, link=made.link(PORTAL), secret=made.key)
