"""Template files: each rule is told with file, line and fault (PRV-20, TRK-03, TRK-05)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reengage.errors import ConfigurationError
from reengage.mail.template_files import FETCHES
from reengage.templates import check_template, load_template

HOME = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(HOME / "templates", tmp_path / "templates")
    return tmp_path


def edit(home: Path, path: str, old: str, new: str) -> None:
    file = home / "templates" / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


BODY = "medication_reminder/en/body.mjml"
TEXT = "medication_reminder/en/body.txt"
SUBJECT = "medication_reminder/en/subject.txt"
FOOTER = "base/footer.en.mjml"
HEAD = "base/head.mjml"
DECIDES = "decides or is computed with"
EXPOSED = "in a subject, preheader, title or attribute"


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        (BODY, "{{ dosage }}", "{{ diagnosis }}", "/body.mjml:20: uses 'diagnosis', which the"),
        (BODY, "{{ dosage }}", "daily", "body.mjml does not use the declared field 'dosage'"),
        (TEXT, "{{ dosage }}", "daily", "body.txt does not use the declared field 'dosage'"),
        (FOOTER, "Warm", "{{ age }}", "templates/base/footer.en.mjml:4: uses 'age'"),
        (SUBJECT, "A message", "{{ name }}", f"subject.txt:1: 'name' {EXPOSED}"),
        (BODY, "<h1>", '<h1 title="{{ name }}">', f"body.mjml:9: 'name' {EXPOSED}"),
        (BODY, "{{ practice.phone_link }}", "https://x.org/?m={{ name }}", f"'name' {EXPOSED}"),
        (HEAD, "{{ practice.name }}", "{{ name }}", f"base/head.mjml:2: 'name' {EXPOSED}"),
        (BODY, "{{ name }}", "{{ name|safe }}", "body.mjml:19: a filter, test, call or escape"),
        (BODY, "{{ name }}", "{{ name|default('') }}", "body.mjml:19: a filter, test, call"),
        (TEXT, "{{ name }}", "{{ name if name is defined }}", "body.txt:7: a filter, test, call"),
        (TEXT, "{{ name }}", "{{ name.upper() }}", "body.txt:7: a filter, test, call"),
        (BODY, "{{ name }}", "{% autoescape false %}{{ name }}{% endautoescape %}", "escape"),
        (TEXT, "{{ practice.phone }}", "{{ practice.fone }}", "body.txt:12: the practice has no"),
        (TEXT, "{{ name }}", "{{ name }", "body.txt:7: unexpected '}'"),
        (BODY, "{{ name }}", "{% if name %}{{ name }}{% endif %}", f"mjml:19: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ name if practice.website }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ 'x' if name == 'y' }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ name ~ dosage }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ name[0] }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ name.x }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{{ [name] }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{% set x = name %}{{ x }}", f"body.txt:7: 'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{% for x in name %}{{ x }}{% endfor %}", f"'name' {DECIDES}"),
        (TEXT, "{{ name }}", "{% include name %}", f"body.txt:7: 'name' {DECIDES}"),
        (FOOTER, "<p>Warm", "{% if opt_out_url %}<p>Warm{% endif %}", f"'opt_out_url' {DECIDES}"),
        (SUBJECT, "A message", "{{ opt_out_url }}", f"subject.txt:1: 'opt_out_url' {EXPOSED}"),
        (BODY, "{{ name }}", "{{ name }} {{ portal_link }}", "which only templates/portal may"),
        (BODY, "<h1>", '<img src="https://x.org/p.gif" /><h1>', "'<img' would make a mail client"),
        (HEAD, "<mj-raw>", '<mj-font name="x" href="https://x.org" /><mj-raw>', "'<mj-font' would"),
        (HEAD, "h1 {", "h1 { background: url(https://x.org/a.png);", "head.mjml:19: 'url(' would"),
        (BODY, "base/head.mjml", "base/haed.mjml", "templates/base/haed.mjml, which templates/med"),
        (BODY, "base/head.mjml", "../practice.yaml", "itself or leaves templates/"),
        (FOOTER, "<mj-text>", '<mj-include path="base/footer.en.mjml" />', "includes itself"),
    ],
)  # fmt: skip
def test_a_faulty_template_is_told_with_file_line_and_fault(
    home: Path, path: str, old: str, new: str, told: str
) -> None:
    edit(home, path, old, new)
    problems = check_template(home, "medication_reminder", ["en", "es"], ("name", "dosage"))
    assert [problem for problem in problems if told in problem] != [], problems


@pytest.mark.parametrize("path", [BODY, TEXT, SUBJECT, "base/footer.en.txt"])
def test_a_missing_file_is_told(home: Path, path: str) -> None:
    (home / "templates" / path).unlink()
    [problem] = check_template(home, "medication_reminder", ["en"], ("name", "dosage"))
    assert f"templates/{path}" in problem
    assert "is missing; create it or mend the name" in problem
    with pytest.raises(ConfigurationError, match="is missing"):
        load_template(home, "medication_reminder", "en")


def test_a_template_may_choose_on_what_the_practice_says(home: Path) -> None:
    chosen = "{% if practice.website %}{{ name }}{% else %}{{ name }}, {% endif %}"
    edit(home, TEXT, "{{ name }}", chosen)
    assert check_template(home, "medication_reminder", ["en"], ("name", "dosage")) == []


def test_what_chooses_on_a_value_is_refused_even_unchecked(home: Path) -> None:
    edit(home, TEXT, "{{ name }}", "{% if name %}{{ name }}{% endif %}")
    with pytest.raises(ConfigurationError, match="'name' decides or is computed with"):
        load_template(home, "medication_reminder", "en")


def test_a_missing_language_and_a_missing_folder_are_told_once_per_part() -> None:
    assert len(check_template(HOME, "medication_reminder", ["fr"], ("name", "dosage"))) == 3
    assert len(check_template(HOME, "absent", ["en"], ())) == 3


def test_a_file_in_another_encoding_is_told(home: Path) -> None:
    (home / "templates" / "medication_reminder/es/body.txt").write_bytes(
        "medicación".encode("latin-1")
    )
    problems = check_template(home, "medication_reminder", ["es"], ("name", "dosage"))
    assert problems == ["templates/medication_reminder/es/body.txt is not UTF-8; save it as UTF-8"]


def test_mjml_that_does_not_compile_names_its_file(home: Path) -> None:
    edit(home, BODY, "</mj-body>", "")
    with pytest.raises(
        ConfigurationError, match=r"medication_reminder/en/body\.mjml does not comp"
    ):
        load_template(home, "medication_reminder", "en")


def test_an_element_that_mjml_does_not_know_is_named(home: Path) -> None:
    edit(home, BODY, "<mj-text>", "<mj-textt>")
    with pytest.raises(ConfigurationError, match=r"body\.mjml: no MJML element 'mj-textt'"):
        load_template(home, "medication_reminder", "en")


@pytest.mark.parametrize(
    "fetching",
    [
        *(f"<{name}" for name in ("img", "link", "script", "iframe", "object", "embed", "video",
                                  "audio", "source", "form", "base", "mj-image", "mj-font",
                                  "mj-social", "mj-carousel", "mj-accordion", "mj-hero",
                                  "mj-navbar")),
        "src=", "src =", "srcset=", "background\n=", "url(", "url (", "@import", "@font-face",
    ],
)  # fmt: skip
def test_whatever_fetches_is_seen_wherever_it_stands(fetching: str) -> None:  # TRK-03
    for written in (fetching, fetching.upper()):
        assert FETCHES.findall(f"é {written} {written}") == [written, written]


def test_what_compiles_to_a_fetch_is_refused_even_unchecked(home: Path) -> None:  # TRK-03
    edit(home, BODY, "<h1>", '<img src="https://x.org/p.gif" /><h1>')
    with pytest.raises(ConfigurationError, match="'<img', which would make a mail client fetch"):
        load_template(home, "medication_reminder", "en")


def test_filters_are_gone_even_unchecked(home: Path) -> None:
    edit(home, BODY, "{{ name }}", "{{ name|safe }}")
    with pytest.raises(ConfigurationError, match="a filter"):
        load_template(home, "medication_reminder", "en")


def test_checking_imports_neither_the_compiler_nor_the_calendar() -> None:
    script = (
        "import sys, pathlib; from reengage.templates import check_template;"
        "assert check_template(pathlib.Path(sys.argv[1]), 'health_education', ['en'],"
        " ['given_name']) == []; print('mjml' in sys.modules, 'babel' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(HOME)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False False\n"
