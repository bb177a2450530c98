"""What is served is fixed, pinned, on record, and the same in two languages."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path

import pytest
from patients import Portal
from reengage.errors import ConfigurationError
from reengage.portal import pages
from reengage.portal.desk import open_desk
from reengage.portal.server import record_page
from reengage.portal.speech import language_of
from reengage.settings import PortalSettings

TEXTS = {language: pages.texts(language) for language in ("en", "es")}


def test_both_languages_say_everything() -> None:
    assert TEXTS["en"].keys() == TEXTS["es"].keys()
    same = {name for name in TEXTS["en"] if TEXTS["en"][name] == TEXTS["es"][name]}
    assert same == set()


def test_every_text_is_shown_somewhere() -> None:
    sources = "".join(path.read_text() for path in pages.DIRECTORY.glob("*.html"))
    sources += Path(pages.__file__).read_text(encoding="utf-8")
    built = ("e_", "purpose_", "revoke_")
    shown = {name for name in TEXTS["en"] if name in sources or name.startswith(built)}
    said = {f"{name}{part}" for name in pages.SAID for part in ("", "_heading")}
    assert set(TEXTS["en"]) - shown - said == set()


@pytest.mark.parametrize("name", ["portal.js", "letter.html", "texts.es.json"])
def test_a_page_that_is_not_the_pinned_one_is_not_served(
    portal: Portal, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pages.DIRECTORY, tmp_path / "page")
    monkeypatch.setattr(pages, "DIRECTORY", tmp_path / "page")
    with (tmp_path / "page" / name).open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(ConfigurationError, match=re.escape(f"page/{name} is not the file")):
        pages.load_pages(desk_of(portal))


def test_the_page_names_style_and_script_with_their_digests(portal: Portal) -> None:
    with portal.client() as client:
        page = client.get("/m/x").text
        found = re.findall(r'(?:href|src)="\.\./(static/portal\.\w+)" integrity="([^"]+)"', page)
        assert len(found) == 2
        for path, integrity in found:
            digest = hashlib.sha256(client.get(f"/{path}").content).digest()
            assert integrity == f"sha256-{base64.b64encode(digest).decode()}"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(portal: Portal) -> None:
    """TRK-01, TRK-03: no tracker, no font, no script but ours."""
    with portal.client() as client:
        for path in ("/m/x", "/opt-out/x", "/confirm/x", "/none"):
            page = client.get(path)
            assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src)|javascript:", page.text)
            fetched = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page.text)
            assert all(one.startswith("../static/") for one in fetched)
            leads = re.findall(r'<a [^>]*href="([^"]+)"', page.text)
            assert all(one.startswith(("#", "?lang=", "tel:")) for one in leads)
            assert "set-cookie" not in page.headers


def test_what_is_served_is_on_record(portal: Portal) -> None:
    [row] = portal.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
        " WHERE kind = 'configuration' AND subject = 'portal/page'"
    )
    desk = desk_of(portal)
    served = pages.load_pages(desk)
    assert row["body"]["sha256"] == served.digest
    assert not record_page(desk, served)  # it was the process that did


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"), (None, "es", "es"), (None, "es-MX,es;q=0.9,en;q=0.8", "es"),
        (None, "en-US,es;q=0.9", "en"), (None, "fr,de;q=0.9", "en"), (None, "fr,es;q=0.1", "es"),
        ("es", "en", "es"), ("xx", "es", "es"), (None, "es;q=0", "en"), (None, ";;;,q=", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_chosen_one_else_the_browsers(
    chosen: str | None, accepted: str, language: str
) -> None:
    assert language_of(chosen, accepted) == language


def test_the_service_knows_nothing_of_airflow() -> None:
    import subprocess
    import sys

    code = (
        "import sys, reengage.portal.server, reengage.portal.keeper;"
        "print([m for m in sys.modules if m.split('.')[0] in ('airflow', 'great_expectations')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def desk_of(portal: Portal):
    settings = portal.practice.settings
    return open_desk(
        PortalSettings(settings.home, settings.store_url, settings.keyring, settings.journal_path)
    )
