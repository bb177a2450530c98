"""A reader in a real browser: Debian's `chromium`, driven by `playwright`; nothing is downloaded.

With REENGAGE_PICTURES=docs/pictures each state that is looked at is also written there, on a phone
and on a desk, light and dark.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sealed import PORTAL

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium: apt-get install it"
)

PICTURES = os.environ.get("REENGAGE_PICTURES")
PHONE, DESK = {"width": 320, "height": 640}, {"width": 1280, "height": 800}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PEERS = count(1)


@contextmanager
def launched(port: int) -> Iterator[Any]:
    """The browser; the portal's name leads to this port."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                f"--host-resolver-rules=MAP portal.prairie.example.org 127.0.0.1:{port}",
                "--no-sandbox",
            ],
        )
        yield browser
        browser.close()


@contextmanager
def pages(browser: Any) -> Iterator[Callable[..., Any]]:
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
