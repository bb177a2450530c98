"""An element of a FHIR resource, read strictly: a fault names its place and fix, never the value.

The models of fhir.resources check structure and formats; what they let pass and the mapping rests
on is checked here: codes of required bindings, whole dates, references, the extensions that are
ours. What FHIR leaves open in time is taken for the strictest reading, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from reengage.errors import SourceDataError
from reengage.sources.csvfile import FIRST_YEAR, LAST_YEAR, MAX_CHARACTERS

BASE = "https://reengage.example.org/fhir/StructureDefinition/"
"""Where extensions live that say what R4 has no place for; docs/sources.md lists them."""

_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)", re.ASCII
)
_REFERENCE = r"(?:https?://[^\s?#]+/)?{type}/([A-Za-z0-9.-]{{1,64}})(?:/_history/[A-Za-z0-9.-]+)?"


@dataclass(frozen=True, slots=True)
class Element:
    """An object of a resource, and where it stands."""

    content: dict[str, Any]
    file: str
    line: int
    path: str

    def fault(self, name: str, what: str) -> SourceDataError:
        """The error that names this element's part `name`; it holds no value."""
        path = f"{self.path}.{name}" if name else self.path
        return SourceDataError(f"{self.file} line {self.line}, element {path}: {what}")

    def each(self, name: str) -> Iterator[Element]:
        """The objects below `name`, whether it repeats or not; a null in a list is passed over."""
        found = self.content.get(name)
        if isinstance(found, dict):
            yield Element(found, self.file, self.line, f"{self.path}.{name}")
        for number, one in enumerate(found if isinstance(found, list) else ()):
            if isinstance(one, dict):
                yield Element(one, self.file, self.line, f"{self.path}.{name}[{number}]")

    def one(self, name: str) -> Element:
        """The first object below `name`; an empty one when there is none."""
        return next(self.each(name), Element({}, self.file, self.line, f"{self.path}.{name}"))

    def text(self, name: str) -> str | None:
        """Text without blanks around it; blank is None."""
        value = self.content.get(name)
        return None if value is None else self._checked(name, value)

    def texts(self, name: str) -> list[str]:
        """The texts of a list; blank ones and nulls are passed over."""
        found = self.content.get(name)
        values = found if isinstance(found, list) else []
        checked = [self._checked(name, value) for value in values if value is not None]
        return [value for value in checked if value]

    def _checked(self, name: str, value: object) -> str | None:
        if not isinstance(value, str):
            raise self.fault(name, "no text; write it in quotes")
        value = value.strip()
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise self.fault(name, "half a character (a lone surrogate); mend it") from None
        if len(value) > MAX_CHARACTERS or "\x00" in value:
            raise self.fault(name, f"expected at most {MAX_CHARACTERS} characters and no NUL")
        return value or None

    def code(self, name: str, known: Container[str | None]) -> str | None:
        """A code of a required binding, which the models do not check."""
        value = self.text(name)
        if value is not None and value not in known:
            raise self.fault(name, "a code that R4 does not have there; use one of R4's")
        return value

    def flag(self, name: str) -> bool | None:
        """true, false or None."""
        value = self.content.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.fault(name, "expected true or false, without quotes")
        return value

    def number(self, name: str) -> float | None:
        """A number that is not negative, or None."""
        value = self.content.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise self.fault(name, "expected a number from 0 to a million, without quotes")
        return value

    def day(self, name: str, partial: Literal["first", "last"] | None = None) -> date | None:
        """The day of a date or dateTime, as it is written there.

        A partial one (1970, 1970-03) is a fault, or the first or last day that it can mean.
        """
        value = self.text(name)
        if value is None:
            return None
        if "T" in value:
            self.instant(name)
        found = _DAY.fullmatch(value.partition("T")[0])
        day = _resolved(found, partial or "first") if found else None
        if day is None or not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise self.fault(
                name, f"no date, expected one like 2023-06-01 in {FIRST_YEAR} to {LAST_YEAR}"
            )
        if partial is None and found and not found[3]:
            raise self.fault(name, "a partial date; give the day too, or leave it out")
        return day

    def instant(self, name: str) -> str | None:
        """An instant. A bare date is taken for 12:00 UTC, the same day in every US time zone."""
        value = self.text(name)
        if value is None:
            return None
        if "T" not in value:
            return f"{self.day(name)}T12:00:00Z"
        # FHIR counts a leap second, PostgreSQL and Python do not.
        if not _INSTANT.fullmatch(value) or not _is_instant(value):
            raise self.fault(
                name,
                "no instant, expected one like 2023-06-01T15:00:00Z with its offset,"
                f" in {FIRST_YEAR} to {LAST_YEAR}",
            )
        return value

    def reference(self, name: str, type_: str) -> str | None:
        """The id that a reference to a resource of that type of the same export points to.

        None when it is absent or points to another type.
        """
        target = self.one(name)
        value = target.text("reference")
        if value is None:
            return None
        if found := re.fullmatch(_REFERENCE.format(type=type_), value):
            return found[1]
        if re.fullmatch(_REFERENCE.format(type="[A-Z][A-Za-z]+"), value) or value[0] == "#":
            return None
        raise target.fault("reference", "expected Type/id, as in Patient/17")

    def extension(self, name: str) -> Element | None:
        """Our extension of that name; two are a fault."""
        found = [one for one in self.each("extension") if one.content.get("url") == BASE + name]
        if len(found) > 1:
            raise self.fault("extension", f"{name} is there twice; keep one")
        return found[0] if found else None

    def extended_instant(self, name: str) -> str | None:
        """The valueDateTime of our extension."""
        found = self._extended(name, "valueDateTime")
        return found.instant("valueDateTime") if found else None

    def extended_flag(self, name: str) -> bool | None:
        """The valueBoolean of our extension."""
        found = self._extended(name, "valueBoolean")
        return found.flag("valueBoolean") if found else None

    def extended_text(self, name: str) -> str | None:
        """The valueString of our extension."""
        found = self._extended(name, "valueString")
        return found.text("valueString") if found else None

    def extended_code(self, name: str, known: Container[str | None]) -> str | None:
        """The valueCode of our extension, one of those that are known."""
        found = self._extended(name, "valueCode")
        if found is None:
            return None
        value = found.text("valueCode")
        if value not in known:
            raise found.fault("valueCode", "an unknown code; docs/sources.md lists those there are")
        return value

    def _extended(self, name: str, value: str) -> Element | None:
        found = self.extension(name)
        if found is not None and found.content.get(value) is None:
            raise found.fault(value, f"missing; {name} takes its value from there")
        return found


def _resolved(found: re.Match[str], partial: Literal["first", "last"]) -> date | None:
    year, month, day = (int(part) if part else None for part in found.groups())
    assert year is not None  # noqa: S101 - the pattern has it
    last = partial == "last"
    month = month or (12 if last else 1)
    days = [day] if day else [31, 30, 29, 28] if last else [1]
    for one in days:
        try:
            return date(year, month, one)
        except ValueError:
            continue
    return None


def _is_instant(value: str) -> bool:
    # PostgreSQL rounds what is finer than a microsecond; Python takes no more than six digits.
    try:
        instant = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return False
    return FIRST_YEAR <= instant.year <= LAST_YEAR
