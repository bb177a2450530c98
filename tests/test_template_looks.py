"""How a letter looks: readable in light and dark, for every reader, and fetching nothing.

The styles are resolved here as a mail client does (cascade, inheritance, prefers-color-scheme), so
that contrast is computed from what the letter really says, element by element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reengage.compose import opt_out_mailto
from reengage.practice import load_practice
from reengage.templates import load_template

HOME = Path(__file__).parents[1]
PRACTICE = load_practice(HOME / "practice.yaml")
FIELDS = {
    "appointment_reminder": {"date": "Thursday", "time": "9:30 AM", "location": "Clinic"},
    "health_education": {"given_name": "Ada"},
    "medication_reminder": {"name": "Lisinopril", "dosage": "10 mg"},
}
EVERY_LETTER = [(folder, language) for folder in FIELDS for language in ("en", "es")]
every_letter = pytest.mark.parametrize(("folder", "language"), EVERY_LETTER)

VOID = {"br", "meta", "hr", "img", "link", "input"}
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{((?:[^{}]*\{[^{}]*\})*)\s*\}")
MEDIA = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
Style = dict[str, tuple[tuple[int, ...], str]]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def lineage(self) -> Iterator[Element]:
        """Itself and all it stands in, innermost first."""
        element: Element | None = self
        while element is not None:
            yield element
            element = element.parent

    def all(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            yield from child.all()

    def is_shown(self) -> bool:
        return not any(
            element.tag in ("head", "style", "title")
            or "display:none" in element.attributes.get("style", "").replace(" ", "")
            for element in self.lineage()
        )


class Tree(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = self.at = Element("#root", {}, None)
        self.feed(page)
        assert self.at is self.root, f"<{self.at.tag}> is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.text += data


@cache
def page(folder: str, language: str) -> str:
    template = load_template(HOME, folder, language)
    return template.render(
        FIELDS[folder],
        PRACTICE,
        opt_out_url=PRACTICE.opt_out_url + "a" * 32,
        opt_out_mailto=opt_out_mailto(PRACTICE, "a" * 32),
    ).html


@cache
def tree(folder: str, language: str) -> Element:
    return Tree(page(folder, language)).root


def declarations(text: str) -> Iterator[tuple[str, str, bool]]:
    for declaration in filter(str.strip, text.split(";")):
        name, _, value = declaration.partition(":")
        yield name.strip(), value.replace("!important", "").strip(), "!important" in value


def matches(selector: str, element: Element) -> bool:
    """Compound selectors of tag, class, attribute and :first-child, with descendants."""
    *above, last = selector.split()
    if not _matches_one(last, element):
        return False
    if not above:
        return True
    return any(
        matches(" ".join(above), outer) for outer in element.lineage() if outer is not element
    )


def _matches_one(compound: str, element: Element) -> bool:
    first_child = ":first-child" in compound
    compound = compound.replace(":first-child", "")
    assert ":" not in compound.replace(":root", ""), f"this test cannot read {compound!r}"
    for attribute in re.findall(r"\[([\w-]+)\]", compound):
        if attribute not in element.attributes:
            return False
    tag, *classes = re.sub(r"\[[^]]*\]", "", compound).split(".")
    siblings = element.parent.children if element.parent else [element]
    return (
        (not tag or tag in (element.tag, ":root" if element.tag == "html" else ""))
        and set(classes) <= set(element.attributes.get("class", "").split())
        and (not first_child or siblings[0] is element)
    )


def rules(root: Element, *, dark: bool) -> list[tuple[str, str]]:
    css = "\n".join(element.text for element in root.all() if element.tag == "style")
    found = RULE.findall(MEDIA.sub("", css))
    if dark:
        found += [rule for block in DARK.findall(css) for rule in RULE.findall(block)]
    return [
        (selector.strip(), body) for selectors, body in found for selector in selectors.split(",")
    ]


def own_style(element: Element, sheet: list[tuple[str, str]]) -> dict[str, str]:
    """What the cascade gives the element itself."""
    style: Style = {}

    def put(name: str, value: str, weight: tuple[int, ...]) -> None:
        name = "background-color" if name == "background" else name
        if name not in style or weight >= style[name][0]:
            style[name] = (weight, value)

    if "bgcolor" in element.attributes:
        put("background-color", element.attributes["bgcolor"], (0, 0, 0, 0, -1))
    for order, (selector, body) in enumerate(sheet):
        if "#" in selector or not matches(selector, element):
            continue
        weight = len(re.findall(r"[.\[:]", selector)), len(re.findall(r"(?:^| )[a-z]", selector))
        for name, value, important in declarations(body):
            put(name, value, (important, 0, *weight, order))
    for name, value, important in declarations(element.attributes.get("style", "")):
        put(name, value, (important, 1, 0, 0, 0))
    return {name: value for name, (_, value) in style.items()}


def resolved(element: Element, name: str, sheet: list[tuple[str, str]]) -> str | None:
    for outer in element.lineage():
        value = own_style(outer, sheet).get(name)
        if value and value not in ("inherit", "transparent", "none"):
            return value
    return None


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    assert re.fullmatch("#[0-9a-f]{6}", colour), f"this test cannot read the colour {colour!r}"
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def shown_texts(folder: str, language: str) -> list[Element]:
    found = [
        element
        for element in tree(folder, language).all()
        if element.text.strip() and element.is_shown()
    ]
    assert len(found) > 10
    return found


def test_the_contrast_formula_gives_the_known_values() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@every_letter
def test_every_text_stands_out_from_its_ground(folder: str, language: str, dark: bool) -> None:
    sheet = rules(tree(folder, language), dark=dark)
    grounds = set()
    for element in shown_texts(folder, language):
        colour = resolved(element, "color", sheet)
        ground = resolved(element, "background-color", sheet)
        assert colour, f"<{element.tag}> has no colour"
        assert ground, f"<{element.tag}> has no ground"
        assert contrast(colour, ground) >= 4.5, f"<{element.tag}> {colour} on {ground}"
        grounds.add(ground)
    assert all((luminance(ground) < 0.15) == dark for ground in grounds - {"#0b5d66", "#8bd7de"})


@every_letter
def test_no_text_is_smaller_than_sixteen_pixels(folder: str, language: str) -> None:
    sheet = rules(tree(folder, language), dark=False)
    for element in shown_texts(folder, language):
        size = resolved(element, "font-size", sheet)
        assert size
        assert float(size.removesuffix("px")) >= 16, f"<{element.tag}> {element.text.strip()[:30]}"


@every_letter
def test_a_screen_reader_finds_language_heading_and_no_tables(folder: str, language: str) -> None:
    elements = list(tree(folder, language).all())
    [document] = [element for element in elements if element.tag == "html"]
    assert document.attributes["lang"] == language
    assert [element.tag for element in elements].count("h1") == 1
    assert all(
        element.attributes.get("role") == "presentation"
        for element in elements
        if element.tag == "table"
    )
    for link in (element for element in elements if element.tag == "a"):
        assert link.text.strip(), "a link without words"


@every_letter
def test_the_letter_adapts_to_the_phone_and_to_dark_mode(folder: str, language: str) -> None:
    metas = {
        element.attributes.get("name"): element.attributes.get("content")
        for element in tree(folder, language).all()
        if element.tag == "meta"
    }
    assert metas["color-scheme"] == "light dark"
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    fixed = re.sub(r"<!--.*?-->", "", page(folder, language), flags=re.DOTALL)
    widths = [int(width) for width in re.findall(r"(?<!-)\bwidth[:=]\"?(\d+)(?:px)?[;\"]", fixed)]
    assert [width for width in widths if width > 320] == []


@every_letter
def test_nothing_is_fetched_and_links_lead_only_to_the_practice(folder: str, language: str) -> None:
    letter = page(folder, language)  # TRK-03, Outlook's conditional comments included
    allowed = {
        PRACTICE.website,
        PRACTICE.phone_link,
        PRACTICE.opt_out_url + "a" * 32,
        opt_out_mailto(PRACTICE, "a" * 32),
    }
    links = [
        element.attributes["href"] for element in tree(folder, language).all() if element.tag == "a"
    ]
    assert set(links) == allowed
    plain = letter.replace('xmlns="http://www.w3.org/1999/xhtml"', "")
    assert len(re.findall("(?i)https?://", plain)) == sum("https" in link for link in links)
    assert not re.search(
        r"(?i)<(img|link|script|iframe|object|embed|video|audio|form|base)\b|\bsrc=|url\(|@import"
        r"|\bbackground=|//[a-z]+\.",
        re.sub('href="[^"]*"', "", plain),
    )


@every_letter
def test_the_letter_is_far_below_the_size_at_which_mailboxes_cut(
    folder: str, language: str
) -> None:
    assert len(page(folder, language).encode()) < 100_000


@every_letter
def test_the_preheader_comes_first_and_says_nothing_of_the_patient(
    folder: str, language: str
) -> None:
    hidden = [
        e for e in tree(folder, language).all() if "display:none" in e.attributes.get("style", "")
    ]
    assert [element.text for element in hidden] == {
        "en": ["Your care team has a short message for you."],
        "es": ["Su equipo médico tiene un breve mensaje para usted."],
    }[language]
