"""IMAP: the return mailbox over verified TLS, emptied of what is dealt with and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mailed import Mailed
from notices import answer, dsn, unsubscribe
from reengage.errors import ConfigurationError
from reengage.responses.imap import MailboxError, Url
from reengage.responses.letterbox import OCTETS
from reengage.responses.read import read
from simulators.certificates import good, unknown_authority, wrong_name
from simulators.imap import PASSWORD, ImapServer


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[ImapServer]:
    with ImapServer(good(tmp_path / "imap")) as running:
        yield running


def reading(mailed: Mailed, mailbox: ImapServer, url: str = "") -> dict[str, int]:
    settings = replace(
        mailed.practice.settings,
        returns_imap=(url or mailbox.url,),
        returns_trust=mailbox.certificates.ca,
    )
    return read(settings, "imap")


@pytest.mark.parametrize("extensions", [("MOVE", "UIDPLUS"), ("UIDPLUS",), ()])
def test_what_is_dealt_with_goes_and_staff_keep_what_people_wrote(
    mailed: Mailed, mailbox: ImapServer, extensions: tuple[str, ...]
) -> None:
    mailbox.extensions = extensions
    letter = mailed.letters["p0"]
    mailbox.folders["INBOX"] = {
        3: dsn(letter), 5: answer(letter), 9: unsubscribe(letter.token),
    }  # fmt: skip
    assert reading(mailed, mailbox) == {"bounce hard": 1, "opt_out opted_out": 1, "reply": 1}
    assert mailbox.folders == {"INBOX": {}, "Staff": {1: answer(letter)}}
    assert mailbox.seen == set()
    assert reading(mailed, mailbox) == {}


@pytest.mark.parametrize("command", ["FETCH", "STORE", "EXPUNGE", "LOGOUT", "MOVE", "LIST"])
def test_a_connection_that_is_lost_at_any_step_loses_and_doubles_nothing(
    mailed: Mailed, mailbox: ImapServer, command: str
) -> None:
    letter = mailed.letters["p0"]
    mailbox.folders["INBOX"] = {3: dsn(letter), 5: answer(letter)}
    mailbox.hang_up_at = command
    if command == "LOGOUT":
        reading(mailed, mailbox)
    else:
        with pytest.raises(MailboxError, match="what was not read waits there"):
            reading(mailed, mailbox)
    mailbox.hang_up_at = None
    reading(mailed, mailbox)
    assert (len(mailed.suppressions()), len(mailed.records())) == (1, 1)
    assert mailbox.folders["INBOX"] == {}
    assert list(mailbox.folders["Staff"].values()) == [answer(letter)]


def test_a_message_without_end_is_fetched_as_far_as_it_is_read(
    mailed: Mailed, mailbox: ImapServer
) -> None:
    mailbox.folders["INBOX"] = {1: dsn(mailed.letters["p0"]) + b"A" * 50_000_000}
    assert reading(mailed, mailbox) == {"bounce hard": 1}
    assert any(f"BODY.PEEK[]<0.{OCTETS}>" in command for command in mailbox.commands)


@pytest.mark.parametrize("shown", [wrong_name, unknown_authority])
def test_a_certificate_that_does_not_verify_hears_no_password(
    mailed: Mailed, tmp_path: Path, shown: object
) -> None:
    with ImapServer(shown(tmp_path / "shown")) as mailbox:  # type: ignore[operator]
        with pytest.raises(MailboxError, match="certificate that does not verify"):
            reading(mailed, mailbox)
        assert mailbox.commands == []


def test_a_refused_log_in_names_no_password(mailed: Mailed, mailbox: ImapServer) -> None:
    with pytest.raises(MailboxError, match="refused the log-in") as raised:
        reading(mailed, mailbox, mailbox.url.replace(PASSWORD, "canary"))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "imap://u:canary@h/INBOX",
        "imaps://h/INBOX",
        "imaps://u@h/INBOX",
        "imaps://u:canary@h:x/INBOX",
        "imaps://u:canary@h/INBOX?ssl=0",
        "imaps://u:canary@h/IN%0d%0aBOX",
        "",
    ],
)
def test_there_is_no_form_of_address_without_tls(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REENGAGE_RETURNS_IMAP") as raised:
        Url.parse(url)
    assert "canary" not in str(raised.value)
