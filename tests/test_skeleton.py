"""The skeleton's letters: the same as those of the template's own rendering, whatever the values.

Two ways to a letter: a template rendered once with its places open, and a template rendered whole.
They share the header and the delimiters between the parts, not the words (ADR 0023).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailbox_of import KEY, contents, parsed, pem, verifies
from reengage.compose import Links, Parts, Skeleton, compose, finish
from reengage.errors import LetterError
from reengage.practice import Practice, load_practice
from reengage.templates import Rendered, Template, load_template

HOME = Path(__file__).parents[1]
PRACTICE = load_practice(HOME / "practice.yaml")
TOKEN = "abcdefghijklmnopqrstuvwxyz234567"
LINKS = Links.of(PRACTICE, TOKEN)
NOW = datetime(2023, 6, 1, 14, 0, tzinfo=UTC)
ENVELOPE: dict[str, Any] = {
    "recipient": "given.family.0123abcd@example.org",
    "message_id": f"<{TOKEN}@prairie.example.org>",
    "date": NOW,
}
TEMPLATES = [
    load_template(HOME, folder, language)
    for folder in ("appointment_reminder", "health_education", "medication_reminder")
    for language in ("en", "es")
]
every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)

# What an encoding, a markup, a header or a relay could take for its own.
AWKWARD = st.sampled_from(
    ["=", "=3D", "=\N{SPACE}", ".", "<", "&", "&amp;", '"', "'", "</td>", "--=_", " ", "\u202f",
     "\u00ad", "{{ date }}", "%s", "\\1", "From ", "Subject: x", "x" * 75, "é" * 40, "plain.date",
     "https://portal.prairie.example.org/#"]
)  # fmt: skip
VALUES = st.lists(
    AWKWARD
    | st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=30),
    max_size=6,
).map("".join)


def written(
    template: Template, fields: Mapping[str, str], practice: Practice = PRACTICE, **changes: Any
) -> bytes:
    """The finished letter, unsigned, by the skeleton."""
    parts = Skeleton.of(template, practice).parts(fields, LINKS, **{**ENVELOPE, **changes})
    return finish(parts.fields, parts.entity, practice=practice, date=NOW, dkim_key=None)


def rendered(template: Template, fields: Mapping[str, str]) -> Rendered:
    return template.render(
        fields, PRACTICE, opt_out_url=LINKS.opt_out_url, opt_out_mailto=LINKS.opt_out_mailto
    )


def fields_of(template: Template, mark: str = "Field") -> dict[str, str]:
    return {name: f"{mark} {name}" for name in sorted(template.variables)}


@given(data=st.data(), template=st.sampled_from(TEMPLATES))
def test_its_letter_says_what_the_template_renders(data: st.DataObject, template: Template) -> None:
    """EML-01, PRV-20."""
    fields = {name: data.draw(VALUES) for name in sorted(template.variables)}
    expected = rendered(template, fields)
    letter = written(template, fields)
    assert contents(letter) == {
        "text/plain": "\r\n".join([*expected.text.splitlines(), ""]),
        "text/html": "\r\n".join([*expected.html.splitlines(), ""]),
    }
    other = compose(
        expected, practice=PRACTICE, opt_out_token=TOKEN, dkim_key=None, **ENVELOPE
    )  # the same but for soft line breaks
    assert parsed(letter).items() == parsed(other).items()
    assert [part.items() for part in parsed(letter).walk()] == [
        part.items() for part in parsed(other).walk()
    ]


@given(data=st.data(), template=st.sampled_from(TEMPLATES))
def test_its_lines_are_short_seven_bit_and_end_in_crlf(
    data: st.DataObject, template: Template
) -> None:
    """EML-01."""
    letter = written(template, {name: data.draw(VALUES) for name in sorted(template.variables)})
    assert letter.isascii()
    assert letter.count(b"\n") == letter.count(b"\r") == letter.count(b"\r\n")
    body = letter.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert max(map(len, body)) <= 76
    assert [line for line in body if line.endswith((b" ", b"\t")) or line[:5] == b"From "] == []


@every_template
def test_letters_of_a_template_differ_in_their_values_only(template: Template) -> None:
    one, other = (written(template, fields_of(template, mark)) for mark in ("Alpha", "Omega"))
    assert one.count(b"Alpha") == one.count(b"Alpha ") > 0
    assert one.replace(b"Alpha", b"Omega") == other


def test_the_same_arguments_give_the_same_bytes_and_another_id_another_boundary() -> None:
    [template, *_] = TEMPLATES
    letter = written(template, fields_of(template))
    assert written(template, fields_of(template)) == letter
    other = written(template, fields_of(template), message_id="<other@prairie.example.org>")
    assert parsed(other).get_boundary() != parsed(letter).get_boundary()
    assert contents(other) == contents(letter)


def test_no_header_but_to_holds_anything_of_the_patient() -> None:
    """TRK-05."""
    for template in TEMPLATES:
        letter = written(template, fields_of(template, "canary"), recipient="canary@example.org")
        assert letter.partition(b"\r\n\r\n")[0].count(b"canary") == 1


# --- what it refuses ---


@pytest.mark.parametrize(
    "ending", ["\r\nBcc: x@example.org", "\n", "\r", "\x00", "\u2028", "\u202e"]
)
@every_template
def test_a_value_that_breaks_a_line_is_refused_and_not_told(
    template: Template, ending: str
) -> None:
    """EML-02."""
    for name in template.variables:
        with pytest.raises(LetterError, match=f"field '{name}' holds a control") as refused:
            written(template, {**fields_of(template), name: f"canary{ending}"})
        assert "canary" not in str(refused.value)


@every_template
def test_a_field_missing_or_in_excess_is_refused(template: Template) -> None:
    """PRV-20."""
    fields = fields_of(template)
    with pytest.raises(LetterError, match="field 'zip' is given, but not used"):
        written(template, {**fields, "zip": "68102"})
    missing, *_ = fields
    with pytest.raises(LetterError, match=f"field '{missing}' was not given"):
        written(template, {name: value for name, value in fields.items() if name != missing})


@pytest.mark.parametrize(
    "ending", ["\r\nBcc: x@example.org", "\n", ">", "<", " ", '"', "\x00", "é"]
)
def test_nothing_of_an_envelope_or_a_link_can_open_a_header_of_its_own(ending: str) -> None:
    """EML-02."""
    [template, *_] = TEMPLATES
    changed: tuple[dict[str, Any], ...] = (
        {"recipient": f"canary@example.org{ending}"},
        {"message_id": f"<canary@example.org>{ending}"},
    )
    for changes in changed:
        with pytest.raises(LetterError) as refused:
            written(template, fields_of(template), **changes)
        assert "canary" not in str(refused.value)
    for change in ("opt_out_url", "opt_out_mailto", "portal"):
        with pytest.raises(LetterError, match="a letter's link is malformed") as refused:
            replace(LINKS, **{change: f"https://canary.example.org/{ending}"})
        assert "canary" not in str(refused.value)
    with pytest.raises(LetterError, match="an opt-out token is malformed"):
        Links.of(PRACTICE, TOKEN + ending)


def test_a_subject_that_would_differ_by_letter_is_refused(tmp_path: Path) -> None:
    """TRK-05."""
    shutil.copytree(HOME / "templates", tmp_path / "templates")
    subject = tmp_path / "templates" / "health_education" / "en" / "subject.txt"
    for shown in ("{{ given_name }}", "{{ opt_out_url }}"):
        subject.write_text(f"A message for {shown}")
        template = load_template(tmp_path, "health_education", "en")
        with pytest.raises(LetterError, match=r"subject\.txt shows a field or link; remove it"):
            Skeleton.of(template, PRACTICE)


# --- when it is compiled ---


def test_it_is_compiled_once_per_content(tmp_path: Path) -> None:
    [template, *_] = TEMPLATES
    skeleton = Skeleton.of(template, PRACTICE)
    same_practice = Practice.model_validate(PRACTICE.model_dump())
    assert same_practice is not PRACTICE
    assert Skeleton.of(template, same_practice) is skeleton
    assert Skeleton.of(TEMPLATES[1], PRACTICE) is not skeleton


def test_an_edit_of_the_template_or_the_practice_shows_at_once(tmp_path: Path) -> None:
    shutil.copytree(HOME / "templates", tmp_path / "templates")
    before = load_template(tmp_path, "health_education", "en")
    written(before, {"given_name": "Ada"})
    body = tmp_path / "templates" / "health_education" / "en" / "body.txt"
    body.write_text(body.read_text().replace("Hello", "Good day"))
    after = load_template(tmp_path, "health_education", "en")
    assert "Good day Ada" in contents(written(after, {"given_name": "Ada"}))["text/plain"]
    assert "Hello Ada" in contents(written(before, {"given_name": "Ada"}))["text/plain"]
    moved = PRACTICE.model_copy(update={"phone": "402-555-0199"})
    letter = written(after, {"given_name": "Ada"}, practice=moved)
    assert all("402-555-0199" in content for content in contents(letter).values())
    assert b"402-555-0100" not in letter


# --- finishing ---


def parts() -> Parts:
    [template, *_] = TEMPLATES
    return Skeleton.of(template, PRACTICE).parts(fields_of(template), LINKS, **ENVELOPE)


def finished(fields: tuple[bytes, ...], entity: bytes) -> bytes:
    return finish(fields, entity, practice=PRACTICE, date=NOW, dkim_key=pem(KEY))


SEALED = (
    b"Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data;\r\n name=smime.p7m\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n"
    b"\tfilename=smime.p7m\r\n\r\n"
)


@pytest.mark.parametrize(
    "entity",
    [
        parts().entity,
        SEALED + b"MIIB" * 18 + b"\r\n",
        SEALED + b"MIIB",
        SEALED + b"MIIB\r\n\r\n\r\n",
        SEALED,
    ],
    ids=["our own", "sealed", "no line end", "empty lines at its end", "empty"],
)
def test_any_entity_is_finished_and_signed(entity: bytes) -> None:
    """EML-06, EML-30."""
    letter = finished(parts().fields, entity)
    assert letter.endswith(b"\r\nMIME-Version: 1.0\r\n" + entity)
    assert verifies(letter)
    assert (
        not verifies(letter.replace(b"smime-type=auth", b"smime-type=", 1)) or SEALED not in letter
    )
    assert not verifies(letter + b"x\r\n")


@pytest.mark.parametrize("at", range(9))
def test_a_header_to_sign_that_is_missing_or_there_twice_is_refused(at: int) -> None:
    """EML-06."""
    fields = parts().fields
    for changed in ((*fields[:at], *fields[at + 1 :]), (*fields, fields[at])):
        with pytest.raises(LetterError, match="a header to sign is missing or there twice"):
            finished(changed, parts().entity)
