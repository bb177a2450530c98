"""Diagnosis: hard is what no later try can mend, and nothing that we or the day may have caused."""

from __future__ import annotations

import pytest
from reengage.responses.diagnosis import LONGEST, Diagnosis, diagnose


@pytest.mark.parametrize(
    ("text", "status", "cause", "hard"),
    [
        ("smtp; 550 5.1.1 <x@y.test>: User unknown", "5.1.1", "no_such_user", True),
        ("smtp; 450 4.1.1 User unknown in virtual alias table", "4.1.1", "no_such_user", True),
        ("", "5.1.1", "no_such_user", True),
        ("", "5.1.2", "no_such_domain", True),
        ("550 Host unknown", "", "no_such_domain", True),
        ("smtp; 551 not our customer", "5.1.6", "moved", True),
        ("", "5.1.10", "takes_no_mail", True),
        ("556 nothing here", "", "takes_no_mail", True),
        ("smtp; 552 5.2.2 Mailbox full", "5.2.2", "mailbox_full", False),
        ("550 5.2.2 user unknown or over quota", "5.2.2", "mailbox_full", False),
        ("550 5.2.1 User unknown", "5.2.1", "mailbox_disabled", False),
        ("550 5.7.1 banned sending IP, user unknown", "5.7.1", "sender_refused", False),
        ("550 5.7.26 DMARC policy of the domain", "5.7.26", "sender_refused", False),
        ("554 5.7.1 Message looks like spam", "5.7.1", "content", False),
        ("552 5.3.4 Message too large", "5.3.4", "too_large", False),
        ("554 4.4.7 Message expired", "4.4.7", "expired", False),
        ("451 4.7.1 Greylisted, try again later", "4.7.1", "rate", False),
        ("", "5.4.4", "network", False),
        ("no code, no words", "", "unclear", False),
        ("", "", "unclear", False),
    ],
)  # fmt: skip
def test_words_then_status_then_reply(text: str, status: str, cause: str, hard: bool) -> None:
    found = diagnose(text, status)
    assert (found.cause, found.hard) == (cause, hard)


def test_the_servers_own_status_counts_before_its_reporters() -> None:
    assert diagnose("smtp; 550 5.2.2 no room", "5.1.1") == Diagnosis("mailbox_full", "5.2.2")


def test_no_part_of_a_version_or_an_address_is_a_status() -> None:
    assert diagnose("host 10.5.1.1 said nothing; v15.1.1.3", "").status == ""


def test_a_text_without_end_takes_no_time() -> None:
    """Regular expressions that backtrack would take hours; only the beginning is looked at."""
    for hostile in ("account " * 200_000, "a " * 500_000, "user " * 10 + "x" * 1_000_000):
        assert diagnose(hostile).cause == "unclear"
    assert diagnose("x" * (LONGEST + 1) + " user unknown").cause == "unclear"
