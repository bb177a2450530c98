"""Asked: what a query or a form says, taken apart and refused where it is not what was expected.

Nothing of it is repeated in an error. Names that a page does not know are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Request

from reengage.reports.problems import BadQueryError

LONGEST_QUERY = 2000
LONGEST_FORM = 8000
"""Octets. Nothing that a page asks for is as long."""
EARLIEST = date(2000, 1, 1)


class Asked:
    """The values by name; each once."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    @classmethod
    def query(cls, request: Request) -> Asked:
        """Those of the address."""
        raw = request.scope.get("query_string", b"")
        if len(raw) > LONGEST_QUERY:
            raise BadQueryError(f"the address is longer than {LONGEST_QUERY} characters")
        return cls(_pairs(raw))

    def text(self, name: str, *, longest: int = 100) -> str | None:
        """A line of printable characters; None where there is none."""
        value = self._values.get(name, "").strip()
        if not value:
            return None
        if len(value) > longest or not value.isprintable():
            raise BadQueryError(f"{name}: expected a line of at most {longest} characters")
        return value

    def one_of(self, name: str, allowed: Collection[str]) -> str | None:
        """One of these words."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise BadQueryError(f"{name}: expected one of {', '.join(allowed)}")
        return value

    def number(self, name: str) -> int | None:
        """A number from 0 on."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,15}", value):
            raise BadQueryError(f"{name}: expected a number from 0 on")
        return int(value)

    def day(self, name: str) -> date | None:
        """A calendar day of our time: before it there is nothing, and a year is mistyped."""
        value = self.text(name)
        if value is None:
            return None
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
                raise ValueError
            day = date.fromisoformat(value)
            if day < EARLIEST:
                raise ValueError
        except ValueError:
            raise BadQueryError(
                f"{name}: expected a day such as 2026-06-01, not before {EARLIEST}"
            ) from None
        return day

    def month(self, name: str) -> str | None:
        """A calendar month, as it came."""
        value = self.text(name)
        if value is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value, re.ASCII):
            raise BadQueryError(f"{name}: expected a month such as 2026-06")
        return value

    def uuid(self, name: str) -> UUID | None:
        """An id."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return UUID(value)
        except ValueError:
            raise BadQueryError(f"{name}: expected an id, 32 hexadecimal digits") from None


def begin_of(day: date | None) -> datetime | None:
    """The first instant of a day, UTC."""
    return None if day is None else datetime.combine(day, time(), UTC)


def end_of(day: date | None) -> datetime | None:
    """The first instant after a day, UTC."""
    if day is None or day == date.max:
        return None
    return datetime.combine(day + timedelta(days=1), time(), UTC)


async def form_of(request: Request) -> Asked:
    """The values of a form that was sent. Never read further than its longest."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadQueryError("expected a form")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise BadQueryError(f"the form is longer than {LONGEST_FORM} octets")
    return Asked(_pairs(body))


def _pairs(raw: bytes) -> dict[str, str]:
    try:
        found = parse_qsl(raw.decode("ascii"), max_num_fields=50, errors="strict")
    except ValueError:
        raise BadQueryError("it is not encoded as addresses and forms are") from None
    values: dict[str, str] = {}
    for name, value in found:
        if name in values:
            raise BadQueryError("a field is there twice")
        values[name] = value
    return values
