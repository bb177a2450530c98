"""The accounting of disclosures as a letter: whole, on as many pages as it takes."""

from __future__ import annotations

import logging
import re
from datetime import UTC, date, datetime

import pytest
from reengage.accounting_letter import Facts, _Letter, as_pdf
from reengage.ledger.accounting import Accounting, Line
from reengage.practice import load_practice
from reengage.settings import HOME

PRACTICE = load_practice(HOME / "practice.yaml")


def line(number: int, **changes: object) -> Line:
    said: dict[str, object] = {
        "day": date(2025, 6, 2), "at": datetime(2025, 6, 2, tzinfo=UTC), "recipient": "Zoë Łukasz",
        "address": "zoe@example.org", "campaign": "Health education", "disclosed": "first name",
        "purpose": "general health education", "vendor": "embedded", "agreement": "SAMPLE-0001",
        "authorization": "none", "outcome": "sent", "accountable": False, "basis": "to the patient",
        "entries": (number,),
    }  # fmt: skip
    return Line(**{**said, **changes})  # type: ignore[arg-type]


def test_a_letter_takes_as_many_pages_as_it_needs_and_warns_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = [line(n, recipient="Zoë Nguyễn 名" if n else "Ελένη") for n in range(40)]
    lines += [line(40, accountable=True, entries=(40, 41))]
    accounting = Accounting(date(2025, 1, 1), date(2025, 12, 31), lines, 2)
    facts = Facts(PRACTICE, accounting, date(2025, 12, 31), "Zoë 名, record 1", "All was verified.")
    pdf = as_pdf(facts)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 5
    assert b"IBMPlexSans" in pdf
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert "Zoë" not in repr(facts)


def test_a_character_that_the_font_lacks_has_a_mark() -> None:
    letter = _Letter(PRACTICE)
    assert letter.shown("Zoë Nguyễn, Łukasz, Иван, Ελένη – “hi”\n") == (
        "Zoë Nguyễn, Łukasz, Иван, Ελένη – “hi”\n"
    )
    assert letter.lacks is False
    assert letter.shown("名 a") == "\ufffd a"
    assert letter.lacks is True
