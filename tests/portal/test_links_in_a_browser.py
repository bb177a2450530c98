"""The pages that a letter's links lead to, in a real browser: stopping, and a new address."""

from __future__ import annotations

from typing import Any

import pytest
from patients import CAMPAIGN, Portal, confirmation
from reader import answer, heading, looks, needs_chromium, playwright
from reengage.portal import pace
from sealed import PORTAL

pytestmark = [needs_chromium, pytest.mark.long]
NEW = "by.browser@example.net"


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


def test_who_asked_too_often_is_told_to_wait_and_whom_to_call(
    portal: Portal, make_page: Any
) -> None:
    one = portal.next()
    used_up(portal, one.opt_out)
    page = make_page()
    page.goto(PORTAL.removesuffix("/m/") + one.opt_out)
    page.click("summary")
    page.check("input[name=language][value=es]")
    page.click("button:text('Save')")
    heading(page, "Please wait a little")
    playwright.expect(page.locator("main a")).to_have_attribute("href", "tel:+14025550100")
    looks(page, "too-many")


def test_who_said_too_much_today_is_told_at_the_form(portal: Portal, make_page: Any) -> None:
    one = portal.next()
    page = make_page()
    page.goto(one.link)
    answer(page)
    page.click("button:text('How we write to you')")
    used_up(portal, one.message_id, portal.session(one))
    page.check("#preferences input[name=language][value=es]")
    page.click("#preferences button:text('Save')")
    playwright.expect(page.locator("#preference-errors")).to_contain_text("many times today")
    looks(page, "enough")


def used_up(portal: Portal, by: str, session: dict[str, str] | None = None) -> None:
    """All wishes of the day, by a link or in a session."""
    for number in range(pace.WISHES_A_DAY):
        language = ("en", "es")[number % 2]
        with portal.client() as client:
            if session is None:
                client.post(by, data={"stop": "chosen", "language": language})
            else:
                path = f"/api/letters/{by}/preferences"
                client.post(path, json={"language": language}, headers=session)
