"""Fields: a value of the warehouse as the patient reads it in a letter.

Dates and times in the patient's language and time zone, text as one clean line. Refuses what has no
value, an instant without its time zone, a control character (EML-02). Errors name the kind of
field and of fault, never the value.
"""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from reengage.errors import LetterError

_LOCALES = {"en": "en_US", "es": "es_US"}
# Joiners inside words of several scripts, and the soft hyphen. Other format characters, among them
# those that turn the reading direction, could make a line read other than it is.
_HARMLESS_FORMATS = frozenset("\u200c\u200d\u00ad")


def format_field(
    value: date | datetime | str | None,
    as_: Literal["text", "date", "time"],
    language: str,
    time_zone: str,
) -> str:
    """The field as text: 'Thursday, June 15, 2023', '9:30 AM CDT', or the text on one line.

    Raises LetterError when there is no value, or one that cannot stand in a line of a letter.
    """
    require_field(value, as_, language, time_zone)
    if isinstance(value, date):
        return _written(value, as_, language, time_zone)
    return _line(value)


@lru_cache(maxsize=4096)  # appointments begin at few instants, and writing one costs 100 us
def _written(value: date | datetime, as_: str, language: str, time_zone: str) -> str:
    from babel import dates  # 40 ms, which every parse of a DAG file would pay

    locale = _LOCALES[language]
    if isinstance(value, datetime):
        local = value.astimezone(_zone(time_zone))
        if as_ == "time":  # with its zone: the reader may be in another than the practice
            return str(dates.format_time(local, "h:mm a z", local.tzinfo, locale))
        value = local.date()
    return str(dates.format_date(value, "full", locale))


def require_field(
    value: date | datetime | str | None,
    as_: Literal["text", "date", "time"],
    language: str,
    time_zone: str,
) -> None:
    """Refuse what `format_field` would refuse, without writing it: a date costs 40 us to write, and
    the extraction asks of every candidate. Raises LetterError.
    """
    if value is None:
        raise LetterError(f"a field written as {as_} has no value; mend the source or the audience")
    if as_ == "text":
        _line(value)
        return
    if language not in _LOCALES:
        raise LetterError(f"no dates for this language; expected one of {', '.join(_LOCALES)}")
    if isinstance(value, datetime) and value.tzinfo is not None:
        value.astimezone(_zone(time_zone))
        return
    if as_ == "date" and not isinstance(value, datetime | str):
        return
    raise LetterError(
        f"a field written as {as_} holds another type ({type(value).__name__}) or an instant"
        " without its time zone; mend the contract's view"
    )


def has_control(text: str) -> bool:
    """Whether a character of `text` breaks a line, a header, or the direction of reading."""
    # None of those is printable; most text is, and is told so ten times as fast.
    return not text.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and character not in _HARMLESS_FORMATS
        for character in text
    )


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise LetterError("a field written as text holds no text; mend the contract's view")
    line = " ".join(value.split())
    if not line:
        raise LetterError("a field written as text is empty; mend the source or the audience")
    if has_control(line):
        raise LetterError("a field written as text holds a control character; mend the source")
    return line


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise LetterError("a time zone is not an IANA name; mend the contract's view") from None
