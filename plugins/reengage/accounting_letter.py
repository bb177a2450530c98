r"""The accounting of disclosures as a letter that a practice hands to the patient who asked for it.

A PDF on Letter paper with page numbers, in plain words (45 CFR 164.528(b)). A character that the
font lacks (it has Latin, Cyrillic and Greek) is shown as \ufffd, and a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout, XPos, YPos

from reengage.ledger.accounting import Accounting, Line
from reengage.practice import Practice
from reengage.typeface import add_plex

_GREY, _RULE, _SHADE = (96, 96, 96), (190, 190, 190), (242, 243, 245)
_LACKING = "\ufffd"
_HEADS = ("Date", "To", "What was disclosed, and for what")
_WIDTHS = (24, 46, 53, 53)
"""Of the columns, in millimetres."""


@dataclass(frozen=True)
class Facts:
    """What the letter says besides its lines."""

    practice: Practice
    accounting: Accounting = field(repr=False)
    made_on: date
    patient: str = field(repr=False)
    """The patient's name as far as it is known, and key: how the practice files the letter."""
    evidence: str
    """What was verified before the letter was written."""


def as_pdf(facts: Facts) -> bytes:
    """The letter."""
    letter = _Letter(facts.practice)
    letter.add_page()
    _opening(letter, facts)
    _section(
        letter,
        "Disclosures that the rule has us account for",
        "Letters to an address which we cannot match to you or to your personal representative."
        " They may have reached somebody else.",
        facts.accounting.accountable,
        "Why it is accounted for",
    )
    _section(
        letter,
        "Other letters, which the rule does not ask us to account for",
        "Letters to you, or to who acts for you, about your care, our services or your health. We"
        " list them all the same, so that you see the whole.",
        facts.accounting.excepted,
        "Why it is excepted",
    )
    _closing(letter, facts)
    return bytes(letter.output())


class _Letter(FPDF):
    """Paper with the practice's head on each page, and its number at the foot."""

    def __init__(self, practice: Practice) -> None:
        super().__init__(format="letter")
        self.practice = practice
        self.lacks = False
        self.set_title("Accounting of disclosures")
        self.set_author(practice.name)
        self.set_lang("en")
        self.known = {ord("\n"), *add_plex(self)}
        self.set_margins(20, 18, 20)
        self.set_auto_page_break(auto=True, margin=22)
        self.alias_nb_pages()

    def shown(self, text: str) -> str:
        """The text, with a mark for each character that the font lacks."""
        found = "".join(c if ord(c) in self.known else _LACKING for c in text)
        self.lacks = self.lacks or found != text
        return found

    def header(self) -> None:
        """The practice's head."""
        self.set_font("plex", "B", 11)
        self.cell(0, 5.5, self.shown(self.practice.name), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_font("plex", "", 8.5)
        self.set_text_color(*_GREY)
        where = f"{self.practice.postal_address.line}  ·  {self.practice.phone}"
        self.cell(0, 4.5, self.shown(where), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_draw_color(*_RULE)
        self.line(self.l_margin, self.y + 2, self.w - self.r_margin, self.y + 2)
        self.set_text_color(0)
        self.ln(8)

    def footer(self) -> None:
        """The page's number."""
        self.set_y(-15)
        self.set_font("plex", "", 8)
        self.set_text_color(*_GREY)
        self.cell(0, 5, f"Accounting of disclosures · page {self.page_no()} of {{nb}}", align="C")
        self.set_text_color(0)

    def heading(self, text: str) -> None:
        """A section's name, never alone at the foot of a page."""
        if self.will_page_break(40):
            self.add_page()
        self.ln(3)
        self.set_font("plex", "B", 11)
        self.multi_cell(0, 6, self.shown(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(0.5)

    def prose(self, text: str, *, size: float = 9.5) -> None:
        """A paragraph."""
        self.set_font("plex", "", size)
        self.multi_cell(
            0, size * 0.5, self.shown(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        self.ln(2)


def _opening(letter: _Letter, facts: Facts) -> None:
    accounting = facts.accounting
    letter.set_font("plex", "B", 17)
    letter.cell(0, 9, "Accounting of disclosures", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    letter.ln(1.5)
    for name, value in (
        ("For", facts.patient),
        ("Period", f"{_day(accounting.first)} to {_day(accounting.last)}, both days included"),
        ("Made on", _day(facts.made_on)),
    ):
        letter.set_font("plex", "", 9.5)
        letter.set_text_color(*_GREY)
        letter.cell(20, 5.2, name)
        letter.set_text_color(0)
        letter.multi_cell(0, 5.2, letter.shown(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    letter.ln(3)
    letter.prose(
        "You have a right to know to whom we disclosed your health information (45 CFR 164.528)."
        " This accounting covers the reminder and education letters that we sent by e-mail. What we"
        " disclosed in other ways is not in it; ask us for that, too."
    )


def _section(letter: _Letter, name: str, says: str, lines: Sequence[Line], why: str) -> None:
    letter.heading(name)
    letter.prose(says if lines else "There were none in this period.")
    if lines:
        _table(letter, lines, why)
        letter.ln(2)


def _table(letter: _Letter, lines: Sequence[Line], why: str) -> None:
    letter.set_font("plex", "", 8)
    letter.set_draw_color(*_RULE)
    with letter.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=_WIDTHS,
        headings_style=FontFace(emphasis="BOLD", fill_color=_SHADE),
        line_height=4,
        padding=(1.2, 1.5),
        text_align="LEFT",
        v_align="TOP",
    ) as table:
        table.row([*_HEADS, why])
        for line in lines:
            table.row([letter.shown(cell) for cell in _cells(line)])


def _cells(line: Line) -> tuple[str, ...]:
    proof = "entry" if len(line.entries) == 1 else "entries"
    return (
        f"{line.day}\n{proof} {', '.join(map(str, line.entries))}",
        f"{line.recipient}\n{line.address}\n{line.outcome}, through {line.vendor} under agreement"
        f" {line.agreement}",
        f"{line.campaign} ({line.purpose}):\n{line.disclosed}",
        line.basis,
    )


def _closing(letter: _Letter, facts: Facts) -> None:
    if undelivered := facts.accounting.undelivered:
        what, them = ("letter was", "it") if undelivered == 1 else ("letters were", "them")
        letter.prose(
            f"{undelivered} further {what} prepared in this period and reached nobody; nothing was"
            f" disclosed by {them}."
        )
    letter.heading("How this was made")
    letter.prose(
        "Every letter leaves an entry in a ledger that nobody can change unnoticed. "
        f"{facts.evidence} The numbers of the entries stand beside each letter, so that each can be"
        " proven to you."
    )
    letter.prose(
        "The first accounting in any twelve months is free of charge (45 CFR 164.528(c)(2)). If"
        " something here is wrong, or you have a question, call us at"
        f" {facts.practice.phone} or write to {facts.practice.postal_address.line}."
    )
    if letter.lacks:
        letter.prose(
            f"{_LACKING} stands for a character that this letter's font does not have.", size=8
        )


def _day(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"
