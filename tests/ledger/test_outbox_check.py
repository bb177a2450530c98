"""The outbox held against the ledger: every state with and without its records (LOG-12)."""

from __future__ import annotations

from uuid import UUID

import pytest
from made import RUN, Ledger, access, disclosure, intent, letter_of
from reengage.errors import LedgerError
from reengage.ledger.outbox import check_outbox
from reengage.settings import HOME
from sqlalchemy import text

# Letter number: state, whether an intent names it, outcomes of its disclosures, and what is said.
CASES: list[tuple[str, bool, list[str], str | None]] = [
    ("composed", False, [], None),
    ("claimed", True, [], None),
    ("claimed", True, ["deferred"], None),
    ("attempted", True, [], None),
    ("sent", True, ["sent"], None),
    ("sent", True, ["deferred", "sent"], None),
    ("sent", True, ["unknown", "sent"], None),
    ("refused", True, ["refused"], None),
    ("unknown", True, ["deferred", "unknown"], None),
    ("deferred", True, [], None),
    ("deferred", True, ["deferred", "deferred"], None),
    ("withheld", False, ["withheld"], None),
    ("withheld", True, ["deferred", "withheld"], None),
    ("claimed", False, [], "letter {} is claimed in the outbox, and no intent names it"),
    ("attempted", False, [], "letter {} is attempted in the outbox, and no intent names it"),
    ("sent", False, ["sent"], "letter {} is sent in the outbox, and no intent names it"),
    ("refused", False, ["refused"], "letter {} is refused in the outbox, and no intent names it"),
    ("unknown", False, ["unknown"], "letter {} is unknown in the outbox, and no intent names it"),
    ("sent", True, [], "letter {} is sent in the outbox, and no disclosure says so"),
    ("refused", True, [], "letter {} is refused in the outbox, and no disclosure says so"),
    ("unknown", True, [], "letter {} is unknown in the outbox, and no disclosure says so"),
    ("withheld", True, [], "letter {} is withheld in the outbox, and no disclosure says so"),
    ("sent", True, ["sent", "refused"], "is the last word on letter {} and has another outcome"),
    ("refused", True, ["deferred"], "is the last word on letter {} and has another outcome"),
    ("withheld", True, ["deferred"], "is the last word on letter {} and has another outcome"),
    ("deferred", True, ["refused"], "is the last word on letter {} and has another outcome"),
    ("composed", True, ["sent"], "says that letter {} was sent, which is composed in the outbox"),
    ("deferred", True, ["sent"], "says that letter {} was sent, which is deferred in the outbox"),
    ("refused", True, ["sent", "refused"], "says that letter {} was sent, which is refused in"),
    ("withheld", True, ["sent"], "says that letter {} was sent, which is withheld in the outbox"),
]


def letters(ledger: Ledger, rehearsal: UUID | None, states: list[str]) -> None:
    """Letters 0, 1, ... of a run, each in its state."""
    with ledger.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text(
                "INSERT INTO letter (letter_id, campaign, patient, period, rehearsal, run_id,"
                " campaign_date, sender_run_id, chunk, state, message_id, sealed, template_sha256,"
                " expires_at) VALUES (:id, 'c', :id, 'p', :rehearsal, :run, '2025-06-02', :run, 0,"
                " :state, 'm', '', '', now())"
            ),
            [
                {"id": letter_of(n), "state": state, "run": UUID(RUN), "rehearsal": rehearsal}
                for n, state in enumerate(states)
            ],
        )


def test_every_state_has_the_records_that_it_must_have(ledger: Ledger) -> None:
    letters(ledger, None, [state for state, *_ in CASES])
    ledger.append(intent(*(n for n, case in enumerate(CASES) if case[1])), intent(900), access("x"))
    ledger.append(
        *(disclosure(n, outcome) for n, case in enumerate(CASES) for outcome in case[2]),
        disclosure(901),  # a letter that is not kept any more
    )
    with ledger.engine.connect() as connection:
        found = check_outbox(connection, HOME)
    said = [str(finding) for finding in found]
    expected = [
        words.format(letter_of(n)) for n, (*_, words) in enumerate(CASES) if words is not None
    ]
    assert len(said) == len(expected)
    for one, words in zip(said, expected, strict=True):
        assert words in one
    assert all(
        str(finding).startswith(f"entry {finding.entry} ")
        for finding in found
        if "the last word" in finding.words or "says that" in finding.words
    )


def test_a_rehearsals_letters_are_recorded_nowhere(ledger: Ledger) -> None:
    letters(ledger, UUID(RUN), ["sent", "claimed", "withheld"])
    with ledger.engine.connect() as connection:
        assert check_outbox(connection, HOME) == []


def test_no_more_are_told_than_one_reads(ledger: Ledger) -> None:
    letters(ledger, None, ["sent"] * 5)
    with ledger.engine.connect() as connection:
        found = check_outbox(connection, HOME, most=2)
    assert len({finding.words.split()[1] for finding in found}) == 2


def test_an_entry_that_cannot_be_read_sends_one_to_verify(ledger: Ledger) -> None:
    letters(ledger, None, ["sent"])
    with ledger.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO ledger_entry VALUES (0, 'intent', 'x', sha256('\\x007b'), '{')")
        )
    with ledger.engine.connect() as connection, pytest.raises(LedgerError, match="ledger verify"):
        check_outbox(connection, HOME)
