"""The patient's whole way in a real browser, by the link of a real letter; and for every reader.

The link is that of the letter's notice in the Maildir of the embedded relay (patients.py). How
states become pictures: reader.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from patients import Portal, Waiting
from reader import PHONE, PICTURES, answer, heading, looks, needs_chromium, playwright
from reengage.pipeline.deposits import seal_deposit
from reengage.sealing.factor import Factor, verifier
from reengage.sealing.portal import Page, deposit
from sealed import CANARY, PORTAL

pytestmark = [needs_chromium, pytest.mark.long]


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
