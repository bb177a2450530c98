"""Templates: a letter shows its declared fields, nothing else, and nothing can change its form."""

from __future__ import annotations

import html
import shutil
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.practice import load_practice
from reengage.templates import Rendered, _compiled, check_template, load_template

HOME = Path(__file__).parents[1]
PRACTICE = load_practice(HOME / "practice.yaml")
OPT_OUT = {
    "opt_out_url": "https://portal.prairie.example.org/opt-out/token",
    "opt_out_mailto": "mailto:opt-out@prairie.example.org?subject=unsubscribe%20token",
}
CHARTER = {  # PRV-20: what each letter may show, and nothing else
    "appointment_reminder": ("date", "time", "location"),
    "health_education": ("given_name",),
    "medication_reminder": ("name", "dosage"),
}
EVERY_LETTER = [(folder, language) for folder in CHARTER for language in ("en", "es")]
every_letter = pytest.mark.parametrize(("folder", "language"), EVERY_LETTER)


def rendered(folder: str, language: str, fields: Mapping[str, str], home: Path = HOME) -> Rendered:
    return load_template(home, folder, language).render(fields, PRACTICE, **OPT_OUT)


def marked(folder: str, mark: str) -> dict[str, str]:
    return {name: f"{mark}{number}" for number, name in enumerate(CHARTER[folder])}


class Skeleton(HTMLParser):
    """The form of a page without its words: tags, attributes, comments."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.form: list[object] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.form.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.form.append(tag)

    def handle_comment(self, data: str) -> None:
        self.form.append(data)


# --- what a letter shows ---


@every_letter
def test_both_parts_show_every_declared_field_and_the_subject_none(
    folder: str, language: str
) -> None:
    letter = rendered(folder, language, marked(folder, "Field"))
    for value in marked(folder, "Field").values():
        assert value in letter.text
        assert value in letter.html
        assert value not in letter.subject


@every_letter
def test_letters_differ_in_their_fields_only(folder: str, language: str) -> None:
    one = rendered(folder, language, marked(folder, "Alpha"))
    other = rendered(folder, language, marked(folder, "Omega"))
    assert one.text.replace("Alpha", "Omega") == other.text
    assert one.html.replace("Alpha", "Omega") == other.html
    assert one.subject == other.subject


@every_letter
def test_a_template_needs_exactly_its_charter(folder: str, language: str) -> None:
    assert load_template(HOME, folder, language).variables == set(CHARTER[folder])
    assert check_template(HOME, folder, [language], CHARTER[folder]) == []


@every_letter
def test_every_letter_tells_who_writes_why_and_how_to_stop(folder: str, language: str) -> None:
    letter = rendered(folder, language, marked(folder, "x"))  # EML-25, EML-27
    why = {"en": "You get this e-mail because", "es": "Usted recibe este mensaje porque"}[language]
    for part in (letter.text, html.unescape(letter.html)):
        for told in (
            PRACTICE.name, PRACTICE.postal_address.line, PRACTICE.phone, why, "911",
            *OPT_OUT.values(),
        ):  # fmt: skip
            assert told in part


@every_letter
def test_subjects_are_neutral(folder: str, language: str) -> None:  # TRK-05
    expected = {
        "en": "A message from Prairie Family Health",
        "es": "Un mensaje de Prairie Family Health",
    }
    assert rendered(folder, language, marked(folder, "x")).subject == expected[language]


def test_a_practice_without_a_website_gets_letters_without_that_link() -> None:
    practice = PRACTICE.model_copy(update={"website": None})
    letter = load_template(HOME, "health_education", "en").render(
        {"given_name": "Ada"}, practice, **OPT_OUT
    )
    assert "website" not in letter.html
    assert "None" not in letter.html + letter.text


# --- what a letter refuses ---


@every_letter
def test_a_missing_field_is_refused(folder: str, language: str) -> None:
    *given_names, missing = CHARTER[folder]
    with pytest.raises(LetterError, match=f"field '{missing}' was not given"):
        rendered(folder, language, dict.fromkeys(given_names, "canary"))


@every_letter
def test_a_field_in_excess_is_refused_without_telling_it(folder: str, language: str) -> None:
    with pytest.raises(LetterError, match="field 'birth_date' is given, but not used") as error:
        rendered(folder, language, {**marked(folder, "canary"), "birth_date": "canary"})
    assert "canary" not in str(error.value)


@given(value=st.text(), letter=st.sampled_from(EVERY_LETTER))
def test_a_value_comes_out_as_itself_or_not_at_all(value: str, letter: tuple[str, str]) -> None:
    folder, language = letter
    fields = dict.fromkeys(CHARTER[folder], value)
    try:
        one = rendered(folder, language, fields)
    except LetterError as error:
        told = str(error)
    else:
        plain = rendered(folder, language, dict.fromkeys(CHARTER[folder], "x"))
        assert Skeleton(one.html).form == Skeleton(plain.html).form
        assert value in html.unescape(one.html)
        assert one.text.count("\n") == plain.text.count("\n")
        assert value in one.text
        return
    assert len(value) < 4 or value not in told


HOSTILE = [
    "{{ practice.dkim }}", "{% include 'base/head.mjml' %}", "{# x #}", "{{ 7*7 }}",
    "<script>alert(1)</script>", "<img src=https://evil.example/p.gif>", "</td></table><h1>",
    '" onmouseover="x', "&lt;b&gt;", "<!-- x", "-->", "<mj-raw>", "\\r\\nBcc: x@example.org",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
@every_letter
def test_markup_and_template_syntax_in_a_value_are_inert(
    folder: str, language: str, value: str
) -> None:
    one = rendered(folder, language, dict.fromkeys(CHARTER[folder], value))
    plain = rendered(folder, language, dict.fromkeys(CHARTER[folder], "x"))
    assert Skeleton(one.html).form == Skeleton(plain.html).form
    assert one.html.count(html.escape(value, quote=False)) + one.html.count(
        html.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ) >= len(CHARTER[folder])
    assert one.text.count(value) >= len(CHARTER[folder])


@pytest.mark.parametrize("character", ["\r\n", "\n", "\x00", "\x1b", "\u2028", "\u202e", "\ud800"])
def test_a_control_character_is_refused_and_the_field_named(character: str) -> None:  # EML-02
    with pytest.raises(LetterError, match="'name' holds a control character") as error:
        rendered("medication_reminder", "en", {"name": f"can{character}ary", "dosage": "x"})
    assert "can" not in str(error.value).replace("scan", "")


# --- a template that is edited ---


@pytest.mark.parametrize(
    "path",
    ["medication_reminder/en/subject.txt", "medication_reminder/en/body.mjml",
     "medication_reminder/en/body.txt", "base/head.mjml", "base/header.en.mjml",
     "base/footer.en.mjml", "base/footer.en.txt"],
)  # fmt: skip
def test_the_digest_covers_every_file_and_an_edit_shows_at_once(tmp_path: Path, path: str) -> None:
    home = tmp_path
    shutil.copytree(HOME / "templates", home / "templates")
    before = load_template(home, "medication_reminder", "en")
    other_language = load_template(home, "medication_reminder", "es")
    with (home / "templates" / path).open("a", encoding="utf-8") as file:
        file.write(" ")
    after = load_template(home, "medication_reminder", "en")
    assert before.digest != after.digest
    if ".en" in path or "/en/" in path:
        assert load_template(home, "medication_reminder", "es").digest == other_language.digest


def test_unchanged_content_is_compiled_once() -> None:
    first = load_template(HOME, "medication_reminder", "en")
    assert load_template(HOME, "medication_reminder", "en") is first


def test_no_python_runs_within_the_compiler_which_would_swallow_what_a_signal_raises() -> None:
    within: list[str] = []
    called: list[str] = []

    def heard(frame: FrameType, event: str, argument: object) -> None:
        if getattr(argument, "__name__", None) == "mjml2html":
            within.append(event)
        elif within[-1:] == ["c_call"] and event == "call":
            called.append(frame.f_code.co_qualname)

    _compiled.cache_clear()
    sys.setprofile(heard)
    try:
        load_template(HOME, "appointment_reminder", "en")
    finally:
        sys.setprofile(None)
    assert within == ["c_call", "c_return"]
    assert called == []
