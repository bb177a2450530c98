"""The accounting of disclosures (PRV-25): what is accounted for, what is excepted, and on what."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from entries import Books, disclosure, ledger
from reengage.embedded import postgres
from reengage.errors import LedgerError
from reengage.ledger import witness
from reengage.ledger.accounting import (
    HEADER,
    Accounting,
    Letter,
    Line,
    Recipient,
    account,
    as_csv,
    letters_of,
)

CHICAGO = ZoneInfo("America/Chicago")
AT = datetime(2025, 6, 2, 17, tzinfo=UTC)
PATIENT = Recipient("the patient", "p1@example.org", "Zoë")
MOTHER = Recipient("personal representative (parent)", "m@example.org", is_patient=False)
KNOWN = {"of the patient": PATIENT, "of the mother": MOTHER}
SAID: Mapping[str, Any] = {
    "recipient": "of the patient", "purpose": "treatment", "authorization": None,
    "campaign": "appointment_reminder", "fields": ["appointment.start_at"], "vendor": "embedded",
    "baa_id": "SAMPLE-0001", "outcome": "sent",
}  # fmt: skip


def letter(index: int = 1, at: datetime = AT, **changes: object) -> Letter:
    return Letter((index,), at, {**SAID, **changes})


def told(*letters: Letter, first: date = date(2025, 1, 1), last: date = date(2025, 12, 31)) -> Any:
    return account(
        letters,
        first=first,
        last=last,
        zone=CHICAGO,
        recipients=KNOWN,
        titles={"appointment_reminder": "Appointment reminder"},
        columns={"appointment.start_at": "appointment: start"},
    )


def line(**changes: object) -> Line:
    [found] = told(letter(**changes)).lines
    return found  # type: ignore[no-any-return]


# --- what the rule asks for ---


@pytest.mark.parametrize(
    ("changes", "accountable", "grounds"),
    [
        ({}, False, ["to the patient (164.528(a)(1)(ii))", "for treatment (164.528(a)(1)(i))"]),
        ({"purpose": "own_service"}, False, ["to the patient", "for health care operations"]),
        ({"purpose": "education"}, False, ["to the patient", "for health care operations"]),
        ({"purpose": "marketing", "authorization": "0" * 32}, False,
         ["to the patient", "under the patient's authorization (164.528(a)(1)(iv))"]),
        ({"recipient": "of the mother"}, False,
         ["to who stands in the patient's place (164.502(g)", "for treatment"]),
        ({"outcome": "unknown"}, False, ["to the patient", "for treatment"]),
        ({"recipient": "of a stranger"}, True, ["taken for misdirected"]),
        ({"recipient": "of a stranger", "authorization": "0" * 32}, True, ["misdirected"]),
        ({"recipient": "of a stranger", "outcome": "unknown"}, True, ["misdirected"]),
        ({"recipient": None}, True, ["misdirected"]),
    ],
)  # fmt: skip
def test_an_ordinary_letter_is_excepted_and_a_misdirected_one_accounted_for(
    changes: dict[str, object], accountable: bool, grounds: list[str]
) -> None:
    found = line(**changes)
    assert found.accountable is accountable
    parts = found.basis.split("; ")
    assert len(parts) == len(grounds)
    assert [ground for ground, part in zip(grounds, parts, strict=True) if ground not in part] == []


def test_a_line_says_what_164_528_asks_for() -> None:
    assert line() == Line(
        day=date(2025, 6, 2),
        at=AT,
        recipient="Zoë, the patient",
        address="p1@example.org",
        campaign="Appointment reminder",
        disclosed="appointment: start",
        purpose="reminder about the patient's own treatment",
        vendor="embedded",
        agreement="SAMPLE-0001",
        authorization="none",
        outcome="sent",
        accountable=False,
        basis="to the patient (164.528(a)(1)(ii)); for treatment (164.528(a)(1)(i))",
        entries=(1,),
    )
    stranger = line(recipient="x", campaign="gone", fields=["gone.column"], purpose="gone")
    assert (stranger.recipient, stranger.address) == (
        "unknown recipient", "address not known any more",
    )  # fmt: skip
    assert (stranger.campaign, stranger.disclosed, stranger.purpose) == (
        "gone", "gone.column", "gone",
    )  # fmt: skip


def test_what_reached_nobody_discloses_nothing_and_is_counted() -> None:
    letters = [letter(n, outcome=o) for n, o in enumerate(["withheld", "refused", "deferred"])]
    found = told(*letters, letter(9))
    assert ([one.entries for one in found.lines], found.undelivered) == ([(9,)], 3)
    assert (found.accountable, len(found.excepted)) == ([], 1)


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        (datetime(2025, 6, 2, 4, 59, 59, tzinfo=UTC), False),  # 23:59:59 of the day before, there
        (datetime(2025, 6, 2, 5, tzinfo=UTC), True),
        (datetime(2025, 6, 4, 4, 59, 59, tzinfo=UTC), True),
        (datetime(2025, 6, 4, 5, tzinfo=UTC), False),
    ],
)
def test_both_days_are_the_practices_and_count_whole(at: datetime, counted: bool) -> None:
    found = told(letter(at=at), first=date(2025, 6, 2), last=date(2025, 6, 3))
    assert len(found.lines) == counted


# --- CSV ---


def rows(accounting: Accounting) -> list[list[str]]:
    return list(csv.reader(io.StringIO(as_csv(accounting), newline="")))


def test_csv_is_as_rfc_4180_has_it() -> None:
    found = as_csv(told(letter(), letter(2, recipient="x", campaign='say "hi", twice')))
    assert found.count("\r\n") == 3
    assert "\n" not in found.replace("\r\n", "")
    assert found.splitlines()[0] == ",".join(f'"{name}"' for name in HEADER)
    assert '"say ""hi"", twice"' in found
    [_, first, second] = rows(told(letter(), letter(2, recipient="x")))
    assert dict(zip(HEADER, first, strict=True)) == {
        "date": "2025-06-02", "recorded_at": "2025-06-02T17:00:00+00:00",
        "recipient": "Zoë, the patient", "address": "p1@example.org",
        "campaign": "Appointment reminder", "disclosed": "appointment: start",
        "purpose": "reminder about the patient's own treatment", "vendor": "embedded",
        "agreement": "SAMPLE-0001", "authorization": "none", "outcome": "sent", "accountable": "no",
        "basis": "to the patient (164.528(a)(1)(ii)); for treatment (164.528(a)(1)(i))",
        "ledger_entries": "1",
    }  # fmt: skip
    assert second[HEADER.index("accountable")] == "yes"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "\n@"])
def test_no_cell_is_a_formula(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    [_, row] = rows(told(letter(campaign=text, vendor=text)))
    assert [cell for cell in row if "HYPERLINK" in cell] == [f"'{text}"] * 2
    [_, plain] = rows(told(letter(campaign="a=b-c@d")))
    assert plain[HEADER.index("campaign")] == "a=b-c@d"


# --- from the ledger ---


@pytest.fixture(scope="module")
def books(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with ledger(server, tmp_path_factory.mktemp("books")) as made:
        yield made


def letters(books: Books, patient: str) -> list[Letter]:
    with books.engine.connect() as connection:
        return letters_of(connection, books.keyring.pseudonym("patient", patient))


def test_the_newest_entry_of_a_letter_says_how_it_stands(books: Books) -> None:
    one, two, three = UUID(int=1), UUID(int=2), UUID(int=3)
    written = books.add(
        disclosure(books.keyring, "p1", letter=one, outcome="deferred"),
        disclosure(books.keyring, "p1", letter=two, outcome="unknown"),
        disclosure(books.keyring, "other"),
        disclosure(books.keyring, "p1", letter=three, outcome="unknown"),
    )
    later = books.add(
        disclosure(books.keyring, "p1", letter=one),
        disclosure(books.keyring, "p1", letter=two),
        disclosure(books.keyring, "p1", letter=three, outcome="refused"),
    )
    found = letters(books, "p1")
    assert sorted((each.said["outcome"], each.entries) for each in found) == [
        ("refused", (written[3], later[2])),
        ("sent", (written[0], later[0])),
        ("sent", (written[1], later[1])),
    ]
    when = {each.said["letter"]: each.at for each in found}
    assert when[str(two)] < when[str(one)]  # it may have arrived when it was sent, not later
    assert when[str(one)] == when[str(three)]
    assert [each.disclosed for each in found] == [True, True, False]
    assert letters(books, "nobody") == []


@pytest.mark.parametrize(
    "change",
    [
        "entry = overlay(entry placing '\\x40'::bytea from 20)",
        "subject = (SELECT subject FROM ledger_entry WHERE index = :other)",
        "entry = (SELECT entry FROM ledger_entry WHERE index = :other), "
        "leaf = (SELECT leaf FROM ledger_entry WHERE index = :other)",
    ],
    ids=["bytes", "subject", "entry and leaf"],
)
def test_an_entry_that_was_changed_is_told_to_nobody(books: Books, change: str) -> None:
    [mine] = books.add(disclosure(books.keyring, "changed"))
    [other] = books.add(disclosure(books.keyring, "somebody"))
    before = books.rows("SELECT subject, leaf, entry FROM ledger_entry WHERE index = :i", i=mine)
    books.spoil("ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS ledger_entry_check")
    books.spoil(f"UPDATE ledger_entry SET {change} WHERE index = :mine", mine=mine, other=other)
    who = "somebody" if change.startswith("subject") else "changed"
    with pytest.raises(LedgerError, match=f"entry {mine} of the ledger is not what was appended"):
        letters(books, who)
    [(subject, leaf, entry)] = before
    books.spoil(
        "UPDATE ledger_entry SET subject = :subject, leaf = :leaf, entry = :entry"
        " WHERE index = :mine",
        mine=mine, subject=subject, leaf=leaf, entry=entry,
    )  # fmt: skip
    assert len(letters(books, "changed")) >= 1


def test_the_newest_checkpoint_vouches_or_says_why_not(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ledger(server, tmp_path_factory.mktemp("witness")) as books:

        def newest(**changes: Any) -> Any:
            asked = {"checkpoints": books.checkpoints, "keys": books.keys, **changes}
            with books.engine.connect() as connection:
                return witness.newest(connection, **asked)

        books.add(disclosure(books.keyring, "p1"))
        assert newest() is None
        books.sign()
        books.add(disclosure(books.keyring, "p2"))
        signed = books.sign()
        assert newest() == signed
        with pytest.raises(LedgerError, match=r"checkpoint 0*3.checkpoint is not trusted"):
            newest(keys=[])
        books.spoil("UPDATE ledger_head SET origin = 'reengage/other'")
        with pytest.raises(LedgerError, match=r"0*3.checkpoint is of another ledger"):
            newest()
        books.spoil("UPDATE ledger_head SET origin = :origin", origin=signed.origin)  # type: ignore[union-attr]
        books.spoil("ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check")
        books.spoil("UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 1")
        with pytest.raises(LedgerError, match=r"not the one that its checkpoint of size 3"):
            newest()


def test_a_period_of_six_years_finds_the_first_and_the_last_day() -> None:
    first, last = date(2019, 6, 2), date(2025, 6, 2)
    at = [datetime(2019, 6, 2, 12, tzinfo=UTC), datetime(2025, 6, 2, 12, tzinfo=UTC)]
    outside = [at[0] - timedelta(days=1), at[1] + timedelta(days=1)]
    found = told(
        *(letter(n, when) for n, when in enumerate([*at, *outside])), first=first, last=last
    )
    assert [one.entries for one in found.lines] == [(0,), (1,)]
