"""Fields: dates, times and text as the patient reads them (EML-02, PRV-20)."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import LetterError
from reengage.mail.fields import has_control, require_field
from reengage.templates import format_field

MORNING = datetime(2023, 6, 15, 14, 30, tzinfo=UTC)
NIGHT = datetime(2023, 1, 16, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "as_", "language", "zone", "expected"),
    [
        (MORNING, "date", "en", "America/Chicago", "Thursday, June 15, 2023"),
        (MORNING, "time", "en", "America/Chicago", "9:30 AM CDT"),
        (MORNING, "date", "es", "America/Chicago", "jueves, 15 de junio de 2023"),
        (MORNING, "time", "es", "America/Phoenix", "7:30 a.m. MST"),
        (NIGHT, "date", "en", "America/Chicago", "Sunday, January 15, 2023"),
        (NIGHT, "time", "en", "America/Chicago", "9:05 PM CST"),
        (NIGHT, "date", "es", "America/New_York", "domingo, 15 de enero de 2023"),
        (date(2023, 6, 15), "date", "en", "America/Chicago", "Thursday, June 15, 2023"),
        ("  Lake\tRoad \r\n 24 ", "text", "en", "America/Chicago", "Lake Road 24"),
        ("Añil\u00a0\u2009Clinic", "text", "es", "America/Chicago", "Añil Clinic"),
    ],
)
def test_a_field_is_written_for_its_reader(
    value: Any, as_: Any, language: str, zone: str, expected: str
) -> None:
    assert format_field(value, as_, language, zone) == expected
    require_field(value, as_, language, zone)


@pytest.mark.parametrize(
    ("value", "as_", "zone", "told"),
    [
        (None, "date", "America/Chicago", "a field written as date has no value"),
        (None, "text", "America/Chicago", "a field written as text has no value"),
        (" \t", "text", "America/Chicago", "a field written as text is empty"),
        ("can\x07ary", "text", "America/Chicago", "a control character"),
        ("can\u202eary", "text", "America/Chicago", "a control character"),
        (17.25, "text", "America/Chicago", "holds no text"),
        ("canary", "date", "America/Chicago", "written as date holds another type .str."),
        (date(2023, 6, 15), "time", "America/Chicago", "written as time holds another type .date."),
        (datetime(2023, 6, 15), "date", "America/Chicago", "an instant without its time zone"),  # noqa: DTZ001
        (MORNING, "time", "canary", "a time zone is not an IANA name"),
        (MORNING, "time", "../canary", "a time zone is not an IANA name"),
    ],
)
def test_a_field_that_cannot_be_written_is_refused_without_telling_it(
    value: Any, as_: Any, zone: str, told: str
) -> None:
    for refusing in (format_field, require_field):
        with pytest.raises(LetterError, match=told) as error:
            refusing(value, as_, "en", zone)
        assert not re.search("canary|2023|17", str(error.value))


def test_a_language_without_dates_is_refused() -> None:
    for refusing in (format_field, require_field):
        with pytest.raises(LetterError, match="expected one of en, es"):
            refusing(MORNING, "date", "fr", "America/Chicago")


@given(st.text())
def test_a_text_field_is_one_line_or_refused(value: str) -> None:
    try:
        line = format_field(value, "text", "en", "America/Chicago")
    except LetterError:
        return
    assert line == " ".join(value.split())
    assert line.splitlines() == [line]


def test_every_character_that_breaks_a_line_or_turns_it_is_found() -> None:
    """EML-02."""
    breaking = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(0x110000):
        character = chr(code)
        is_harmless = character in "\u200c\u200d\u00ad"
        expected = unicodedata.category(character) in breaking and not is_harmless
        assert has_control(character) == has_control(f"a{character}é") == expected, hex(code)
