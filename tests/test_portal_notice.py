"""The notice of a letter in the portal: says where, how long and how to check, and nothing more."""

from __future__ import annotations

import html
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mailbox_of import contents, parsed
from pydantic import ValidationError
from reengage.compose import Links, Skeleton, finish
from reengage.errors import ConfigurationError, LetterError
from reengage.practice import Portal, Practice, load_practice
from reengage.templates import Rendered, check_template, load_template
from test_template_looks import Tree, contrast, resolved, rules

HOME = Path(__file__).parents[1]
PORTAL = Portal(url="https://portal.prairie.example.org/m/", valid_days=30)
NO_PORTAL = load_practice(HOME / "practice.yaml").model_copy(update={"portal": None})
PRACTICE = NO_PORTAL.model_copy(update={"portal": PORTAL})
LINKS = Links.of(PRACTICE, "t" * 32, portal=f"{PORTAL.url}0123abcd#k=K-e_y")
every_language = pytest.mark.parametrize("language", ["en", "es"])


def rendered(
    language: str, practice: Practice = PRACTICE, portal_link: str | None = LINKS.portal
) -> Rendered:
    return load_template(HOME, "portal", language).render(
        {},
        practice,
        opt_out_url=LINKS.opt_out_url,
        opt_out_mailto=LINKS.opt_out_mailto,
        portal_link=portal_link,
    )


def notice(language: str) -> bytes:
    skeleton = Skeleton.of(load_template(HOME, "portal", language), PRACTICE)
    made = skeleton.parts(
        {}, LINKS, recipient="p@example.org", message_id="<m@prairie.example.org>",
        date=datetime(2026, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    return finish(
        made.fields, made.entity, practice=PRACTICE, date=datetime(2026, 6, 1, tzinfo=UTC),
        dkim_key=None,
    )  # fmt: skip


@every_language
def test_it_is_sound(language: str) -> None:
    assert check_template(HOME, "portal", [language], ()) == []


@every_language
def test_both_parts_lead_to_the_letter_and_tell_how_long_and_how_to_check(language: str) -> None:
    why = {"en": "You get this e-mail because", "es": "Usted recibe este mensaje porque"}[language]
    for part in contents(notice(language)).values():
        told = " ".join(html.unescape(part).split())
        for words in (
            LINKS.portal, LINKS.opt_out_url, LINKS.opt_out_mailto, PORTAL.url, PRACTICE.name,
            PRACTICE.postal_address.line, PRACTICE.phone, f"{PORTAL.valid_days} d", why, "911",
        ):  # fmt: skip
            assert words is not None
            assert words in told


@every_language
def test_it_says_nothing_of_the_patient_and_not_of_what(language: str) -> None:
    """TRK-05: not the campaign, not the kind of care, not that the reader is a patient."""
    template = load_template(HOME, "portal", language)
    assert template.variables == frozenset()
    betraying = re.compile(
        r"patient|pacient|appointment|cita\b|visit|medic|refill|prescri|receta|test|result|doctor"
        r"|diagnos|remind|record(?!ed)|treat|tratam|insur",
        re.IGNORECASE,
    )
    # The header's preheader is every letter's, and names those who write.
    ours = (
        "Your care team has a short message for you.",
        "Su equipo médico tiene un breve mensaje",
    )
    for part in (rendered(language).subject, *contents(notice(language)).values()):
        words = re.sub(
            r"<style.*?</style>|<head>.*?</head>|<!--.*?-->|<[^>]+>", "", part, flags=re.S
        )
        for own in ours:
            words = words.replace(own, "")
        assert betraying.findall(words) == []


@every_language
def test_the_key_of_the_letter_stands_in_no_header(language: str) -> None:
    """TRK-05."""
    letter = notice(language)
    assert "K-e_y" not in str(parsed(letter).items())
    assert b"0123abcd" not in letter.partition(b"\r\n\r\n")[0]


@every_language
def test_every_link_is_the_practices_own(language: str) -> None:
    """TRK-03."""
    links = set(re.findall(r'href="([^"]*)"', rendered(language).html))
    assert {html.unescape(link) for link in links} == {
        LINKS.portal, LINKS.opt_out_url, LINKS.opt_out_mailto, PRACTICE.phone_link,
        PRACTICE.website,
    }  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@every_language
def test_every_text_stands_out_from_its_ground(language: str, dark: bool) -> None:
    root = Tree(rendered(language).html).root
    sheet = rules(root, dark=dark)
    shown = [element for element in root.all() if element.text.strip() and element.is_shown()]
    assert len(shown) > 10
    for element in shown:
        colour, ground = (resolved(element, name, sheet) for name in ("color", "background-color"))
        assert colour
        assert ground
        assert contrast(colour, ground) >= 4.5, f"<{element.tag}> {colour} on {ground}"


# --- what is refused ---


def test_a_notice_without_its_link_or_its_portal_is_refused() -> None:
    with pytest.raises(LetterError, match="'portal_link' was not given"):
        rendered("en", portal_link=None)
    with pytest.raises(ConfigurationError, match=r"practice\.yaml has none; add `portal`"):
        rendered("en", practice=NO_PORTAL)
    with pytest.raises(ConfigurationError, match=r"practice\.yaml has none; add `portal`"):
        Skeleton.of(load_template(HOME, "portal", "en"), NO_PORTAL)


def test_another_letter_does_not_take_the_way_to_the_portal() -> None:
    template = load_template(HOME, "health_education", "en")
    made = Skeleton.of(template, PRACTICE)
    with pytest.raises(LetterError, match="'portal_link' is given, but not used"):
        made.parts(
            {"given_name": "Ada"}, LINKS, recipient="p@example.org",
            message_id="<m@prairie.example.org>", date=datetime(2026, 6, 1, tzinfo=UTC),
        )  # fmt: skip


def test_only_the_notice_may_show_the_way_to_the_portal_and_it_must(tmp_path: Path) -> None:
    shutil.copytree(HOME / "templates", tmp_path / "templates")
    folder = tmp_path / "templates"
    (folder / "health_education/en/body.txt").write_text("{{ given_name }} {{ portal_link }}")
    (folder / "portal/en/body.txt").write_text("Read your letter.")
    (folder / "portal/es/subject.txt").write_text("{{ portal_link }}")
    [problem] = check_template(tmp_path, "health_education", ["en"], ["given_name"])
    assert problem.startswith(
        "templates/health_education/en/body.txt uses 'portal_link', which only"
    )
    without, exposed = check_template(tmp_path, "portal", ["en", "es"], ())
    assert without.startswith("templates/portal/en/body.txt does not show 'portal_link'")
    assert exposed.startswith("templates/portal/es/subject.txt:1: 'portal_link' in a subject")


# --- practice.yaml ---


def test_a_practice_has_a_portal_only_if_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "practice.yaml"
    sample = (HOME / "practice.yaml").read_text(encoding="utf-8")
    file.write_text(re.sub("(?m)^portal:.*$", "", sample), encoding="utf-8")
    assert load_practice(file).portal is None
    shown = re.search(r"(?m)^(?:# )?(portal: .*)$", sample)
    assert shown
    other = tmp_path / "other.yaml"
    other.write_text(re.sub("(?m)^portal:.*$", "", sample) + shown[1], encoding="utf-8")
    assert load_practice(other).portal == PORTAL


@pytest.mark.parametrize(
    ("url", "valid_days"),
    [
        ("http://portal.example.org/m/", 30), ("https://portal.example.org/m", 30),
        ("https://portal.example.org/m/?m=", 30), ("https://portal.example.org/m/#", 30),
        ("https://portal.example.org/m/", 1), ("https://portal.example.org/m/", 91),
        ("https://portal.example.org/m/", "30"), ("https://portal.example.org/", 30),
    ],
)  # fmt: skip
def test_a_portal_is_a_page_over_https_for_two_to_ninety_days(url: str, valid_days: int) -> None:
    with pytest.raises(ValidationError):
        Portal(url=url, valid_days=valid_days)
