"""Accounting: which disclosures of a patient's data the ledger holds (45 CFR 164.528, PRV-25).

Values from entries: one line per letter that left, with the entries that prove it, and whether the
rule asks to account for it. Excepted are treatment, payment and operations, the patient and who
stands in the patient's place, and what an authorization allows (164.528(a)(1)(i), (ii), (iv)).
None of these holds for an address that is not theirs: a misdirected letter is accounted for, and
one whose recipient nobody knows any more is taken for misdirected.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger.entry import Entry, parse
from reengage.ledger.merkle import leaf_hash

YEARS = 6
"""How far back a patient may ask (164.528(a)(3))."""
DISCLOSED = ("sent", "unknown")
"""Outcomes after which somebody may have read the letter."""
PURPOSES: Mapping[str, tuple[str, str | None]] = {
    "treatment": ("reminder about the patient's own treatment", "for treatment"),
    "own_service": ("the practice's own services", "for health care operations"),
    "education": ("general health education", "for health care operations"),
    "marketing": ("marketing", None),
}
"""Purpose of a campaign -> in words, and what it is excepted for by 164.528(a)(1)(i)."""
HEADER = (
    "date", "recorded_at", "recipient", "address", "campaign", "disclosed", "purpose", "vendor",
    "agreement", "authorization", "outcome", "accountable", "basis", "ledger_entries",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Letter:
    """A letter as the ledger knows it: its entries, and what the newest of them says."""

    entries: tuple[int, ...]
    """Indices, rising."""
    at: datetime
    """When it left, or when its outcome was recorded where it did not."""
    said: Mapping[str, Any] = field(repr=False)

    @property
    def disclosed(self) -> bool:
        """Whether somebody may have read it."""
        return self.said["outcome"] in DISCLOSED


@dataclass(frozen=True)
class Recipient:
    """Whom an address belongs to, as far as the warehouse knows."""

    who: str
    """`the patient`, `personal representative (parent)`."""
    address: str = field(repr=False)
    name: str | None = field(default=None, repr=False)
    is_patient: bool = True


@dataclass(frozen=True)
class Line:
    """One disclosure."""

    day: date
    at: datetime
    recipient: str = field(repr=False)
    address: str = field(repr=False)
    campaign: str
    disclosed: str
    purpose: str
    vendor: str
    agreement: str
    authorization: str
    outcome: str
    accountable: bool
    basis: str
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Accounting:
    """What there is to tell of a patient and a period."""

    first: date
    last: date
    lines: Sequence[Line] = field(repr=False)
    undelivered: int
    """Letters of the period that were prepared and reached nobody."""

    @property
    def accountable(self) -> list[Line]:
        """What 164.528 asks for."""
        return [line for line in self.lines if line.accountable]

    @property
    def excepted(self) -> list[Line]:
        """What it does not ask for."""
        return [line for line in self.lines if not line.accountable]

    @property
    def entries(self) -> list[int]:
        """Indices of all entries that the lines rest on."""
        return sorted(index for line in self.lines for index in line.entries)


def letters_of(connection: Connection, patient: str) -> list[Letter]:
    """Every letter to the patient of this pseudonym, in the order in which they left.

    Raises LedgerError when an entry's bytes are not those that its leaf was made of, or the entry
    is another patient's: nobody is told what was altered.
    """
    found = connection.execute(
        text(
            "SELECT index, leaf, entry FROM ledger_entry"
            " WHERE kind = 'disclosure' AND subject = :patient ORDER BY index"
        ),
        {"patient": patient},
    )
    grouped: dict[str, list[tuple[int, datetime, Mapping[str, Any]]]] = {}
    for index, leaf, entry in found:
        sound = _sound(index, bytes(leaf), bytes(entry), patient)
        at = datetime.fromisoformat(sound.recorded_at)
        grouped.setdefault(sound.body["letter"], []).append((index, at, sound.body))
    return sorted(map(_letter, grouped.values()), key=lambda letter: letter.at)


def _sound(index: int, leaf: bytes, content: bytes, patient: str) -> Entry:
    try:
        entry = parse(content)
        if leaf_hash(content) == leaf and entry.index == index and entry.subject == patient:
            return entry
    except LedgerError:
        pass
    raise LedgerError(
        f"entry {index} of the ledger is not what was appended; nothing is told of it: run"
        " `python -m reengage ledger verify`"
    )


def _letter(entries: Sequence[tuple[int, datetime, Mapping[str, Any]]]) -> Letter:
    left = [at for _, at, said in entries if said["outcome"] in DISCLOSED]
    _, newest_at, newest = entries[-1]
    at = left[0] if left and newest["outcome"] in DISCLOSED else newest_at
    return Letter(tuple(index for index, _, _ in entries), at, newest)


def account(
    letters: Iterable[Letter],
    *,
    first: date,
    last: date,
    zone: ZoneInfo,
    recipients: Mapping[str, Recipient],
    titles: Mapping[str, str],
    columns: Mapping[str, str],
) -> Accounting:
    """The accounting of the days from `first` to `last`, both included, in the practice's zone.

    `recipients` are by the pseudonym of their address; `titles` of campaigns and `columns` of the
    contract say in words what entries name.
    """
    period = [letter for letter in letters if first <= _day(letter, zone) <= last]
    lines = [
        _line(letter, zone, recipients.get(letter.said["recipient"] or ""), titles, columns)
        for letter in period
        if letter.disclosed
    ]
    return Accounting(first, last, lines, len(period) - len(lines))


def _day(letter: Letter, zone: ZoneInfo) -> date:
    return letter.at.astimezone(zone).date()


def _line(
    letter: Letter,
    zone: ZoneInfo,
    recipient: Recipient | None,
    titles: Mapping[str, str],
    columns: Mapping[str, str],
) -> Line:
    said = letter.said
    accountable, basis = standing(said["purpose"], said["authorization"] is not None, recipient)
    return Line(
        day=_day(letter, zone),
        at=letter.at,
        recipient=_recipient(recipient),
        address=recipient.address if recipient else "address not known any more",
        campaign=titles.get(said["campaign"], said["campaign"]),
        disclosed="; ".join(columns.get(name, name) for name in said["fields"]),
        purpose=PURPOSES.get(said["purpose"], (said["purpose"], None))[0],
        vendor=said["vendor"],
        agreement=said["baa_id"],
        authorization=said["authorization"] or "none",
        outcome="sent" if said["outcome"] == "sent" else "unknown, it may have arrived",
        accountable=accountable,
        basis=basis,
        entries=letter.entries,
    )


def standing(purpose: str, authorized: bool, recipient: Recipient | None) -> tuple[bool, str]:
    """Whether 164.528 asks to account for a disclosure, and why, in words."""
    if recipient is None:
        return True, (
            "to an address that is in no record of the patient and of the patient's"
            " representatives, or not any more: taken for misdirected"
        )
    grounds = ["to the patient (164.528(a)(1)(ii))"]
    if not recipient.is_patient:
        grounds = ["to who stands in the patient's place (164.502(g), 164.528(a)(1)(ii))"]
    if used_for := PURPOSES.get(purpose, (purpose, None))[1]:
        grounds.append(f"{used_for} (164.528(a)(1)(i))")
    if authorized:
        grounds.append("under the patient's authorization (164.528(a)(1)(iv))")
    return False, "; ".join(grounds)


def _recipient(recipient: Recipient | None) -> str:
    if recipient is None:
        return "unknown recipient"
    return f"{recipient.name}, {recipient.who}" if recipient.name else recipient.who


def as_csv(accounting: Accounting) -> str:
    """All lines as RFC 4180 has them; no cell is one that a spreadsheet would compute."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(HEADER)
    for line in accounting.lines:
        row = (
            line.day.isoformat(), line.at.isoformat(), line.recipient, line.address, line.campaign,
            line.disclosed, line.purpose, line.vendor, line.agreement, line.authorization,
            line.outcome, "yes" if line.accountable else "no", line.basis,
            " ".join(map(str, line.entries)),
        )  # fmt: skip
        writer.writerow([inert(cell) for cell in row])
    return out.getvalue()


def inert(cell: str) -> str:
    """A cell that stays text: what would begin a formula is preceded by an apostrophe."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else cell
