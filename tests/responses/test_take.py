"""Take: what follows from each message, as rows and records, once, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from mailed import Mailed
from notices import complaint, dsn, on_holiday, unsubscribe
from reengage import suppressions
from reengage.errors import StoreError
from reengage.ledger.accounting import letters_of
from reengage.ledger.outbox import check_outbox
from reengage.practice import load_practice
from reengage.responses.take import Taken
from reengage.return_path import letter_of, letter_of_envid, return_path
from reengage.settings import HOME
from sqlalchemy import create_engine
from world import NOW


def test_a_dead_address_is_suppressed_at_once_with_its_evidence(mailed: Mailed) -> None:
    """PRV-23, EML-09."""
    letter = mailed.letters["p0"]
    assert mailed.take(dsn(letter)) == Taken("bounce", "hard")
    [row] = mailed.suppressions()
    assert row["recipient"] == mailed.pseudonym("recipient", letter.recipient)
    assert (row["reason"], row["status"], row["patient"]) == ("hard_bounce", "5.1.1", None)
    assert (row["at"], row["expires_at"], row["lifted_at"]) == (NOW, None, None)
    [record] = mailed.records()
    assert (record["actor"], record["action"]) == ("reengage_responses", "suppressed")
    detail = record["detail"]
    assert isinstance(detail, dict)
    assert detail["recipient"] == row["recipient"]
    assert detail["evidence"] == row["evidence"]
    assert detail["suppression"] == str(row["suppression_id"])


def test_the_letters_newest_record_says_that_it_came_back(mailed: Mailed) -> None:
    """LOG-12: it was handed to the relay, so it stays `sent` and is accounted for."""
    mailed.take(dsn(mailed.letters["p0"]))
    letter = mailed.letter("p0")
    assert (letter["state"], letter["returned"]) == ("sent", "returned: no_such_user 5.1.1")
    engine = create_engine(mailed.practice.settings.store_url)
    with engine.connect() as connection:
        [told] = letters_of(connection, str(letter["patient"]))
        assert check_outbox(connection, HOME) == []
    engine.dispose()
    assert len(told.entries) == 2
    assert (told.said["outcome"], told.said["reason"]) == ("sent", letter["returned"])
    assert told.disclosed


def test_a_message_is_read_once_however_often_it_comes(mailed: Mailed) -> None:
    content = dsn(mailed.letters["p0"])
    for again in (content, content, content.replace(b"\n", b"\r\n")):
        assert mailed.take(again) == Taken("bounce", "hard")
    assert len(mailed.suppressions()) == len(mailed.records()) == 1
    assert len(mailed.practice.rows("SELECT 1 FROM response")) == 1


def test_a_second_notice_of_the_same_letter_adds_no_second_suppression(mailed: Mailed) -> None:
    letter = mailed.letters["p0"]
    mailed.take(dsn(letter))
    mailed.take(dsn(letter, diagnostic="smtp; 550 5.1.1 no such user here"))
    assert len(mailed.suppressions()) == 1
    assert len(mailed.records("disclosure")) == 4 + 1


def test_passing_trouble_is_counted_and_pauses_the_address_for_a_while(mailed: Mailed) -> None:
    """The third letter within half a year; a second notice of one letter is no second letter."""
    full = ("failed", "5.2.2", "smtp; 552 5.2.2 Mailbox full")
    letter = mailed.letters["p0"]
    assert mailed.take(dsn(letter, *full)) == Taken("bounce", "soft")
    mailed.take(dsn(letter, "failed", "5.2.2", "smtp; 552 5.2.2 still full"))
    recipient = mailed.pseudonym("recipient", letter.recipient)
    earlier(mailed, recipient, [NOW - timedelta(days=181), NOW - timedelta(days=179)])
    mailed.take(dsn(letter, "failed", "5.2.2", "smtp; 552 5.2.2 and full"))
    assert mailed.suppressions() == []
    earlier(mailed, recipient, [NOW - timedelta(days=90)])
    mailed.take(dsn(letter, "failed", "5.2.2", "smtp; 552 5.2.2 ever so full"))
    [row] = mailed.suppressions()
    assert (row["reason"], row["recipient"]) == ("soft_bounces", recipient)
    assert row["expires_at"] == NOW + timedelta(days=90)


def earlier(mailed: Mailed, recipient: str, instants: list[datetime]) -> None:
    """Soft bounces of other letters to the address."""
    others = mailed.practice.rows(
        "SELECT letter_id FROM letter WHERE letter_id NOT IN"
        " (SELECT letter_id FROM response WHERE letter_id IS NOT NULL) ORDER BY letter_id"
    )
    mailed.practice.spoil(
        *(
            "INSERT INTO response (item, source, kind, verdict, letter_id, recipient, at) VALUES"
            f" ('{at}', 'imap', 'bounce', 'soft', '{row['letter_id']}', '{recipient}', '{at}')"
            for row, at in zip(others, instants, strict=False)
        )
    )


def test_a_complaint_suppresses_the_patient_for_that_purpose(mailed: Mailed) -> None:
    """EML-10."""
    assert mailed.take(complaint(mailed.letters["p1"])) == Taken("complaint", "complaint")
    [row] = mailed.suppressions()
    assert (row["patient"], row["purpose"]) == (mailed.letter("p1")["patient"], "treatment")
    assert (row["recipient"], row["reason"], row["expires_at"]) == (None, "complaint", None)


@pytest.mark.parametrize("feedback", ["not-spam", "auth-failure", "dmarc", "nonsense"])
def test_a_report_that_does_not_complain_suppresses_nobody(mailed: Mailed, feedback: str) -> None:
    assert mailed.take(complaint(mailed.letters["p1"], feedback)).verdict == "not_spam"
    assert mailed.suppressions() == []


def test_an_opt_out_by_mail_holds_for_its_campaign(mailed: Mailed) -> None:
    """EML-26: row, journal and record, whoever's address it was sent from."""
    token = mailed.letters["p2"].token
    assert mailed.take(unsubscribe(token, "spouse@example.net")) == Taken("opt_out", "opted_out")
    [row] = mailed.practice.rows("SELECT patient, campaign, channel FROM opt_out")
    assert row == {
        "patient": mailed.letter("p2")["patient"],
        "campaign": "appointment_reminder",
        "channel": "mailto",
    }
    assert str(row["patient"]) in mailed.practice.settings.journal_path.read_text()
    assert [(one["actor"], one["of"]) for one in mailed.records()] == [("patient", "opt_out")]


def test_a_token_that_is_none_of_ours_is_for_staff_and_changes_nothing(mailed: Mailed) -> None:
    taken = mailed.take(unsubscribe("a" * 32))
    assert (taken.verdict, taken.is_staffs) == ("unnamed", True)
    assert mailed.practice.rows("SELECT 1 FROM opt_out") == []


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_is_not_failed_suppresses_nobody(mailed: Mailed, action: str) -> None:
    mailed.take(dsn(mailed.letters["p0"], action, "5.1.1"))
    assert mailed.suppressions() == []
    assert mailed.letter("p0")["returned"] is None


# --- unknown letters ---


@pytest.mark.parametrize("what", ["failed", "delayed", "delivered", "complaint", "on_holiday"])
def test_whoever_can_name_an_unknown_letter_has_had_it(mailed: Mailed, what: str) -> None:
    """A forged `failed` must not hide a disclosure: it is `sent`, and came back."""
    letter = mailed.letters["lost"]
    messages = {"complaint": complaint(letter), "on_holiday": on_holiday(letter)}
    mailed.take(messages.get(what) or dsn(letter, what))
    assert mailed.letter("lost")["state"] == "sent"
    assert mailed.practice.states() == {"sent": 4}
    actions = [(one["action"], one["actor"]) for one in mailed.records()]
    assert ("resolved", "reengage_responses") in actions
    assert len(mailed.suppressions()) == (1 if what in ("failed", "complaint") else 0)
    engine = create_engine(mailed.practice.settings.store_url)
    with engine.connect() as connection:
        assert check_outbox(connection, HOME) == []
    engine.dispose()


def test_a_letter_whose_outcome_is_not_settled_yet_leaves_its_message_for_later(
    mailed: Mailed,
) -> None:
    letter = mailed.letters["p0"]
    state = f"UPDATE letter SET state = '{{}}' WHERE letter_id = '{letter.letter_id}'"
    mailed.practice.spoil(state.format("answered', outcome = 'sent"))
    taken = mailed.take(dsn(letter))
    assert (taken.verdict, taken.waits) == ("under_way", True)
    mailed.practice.spoil(state.format("sent"))
    assert mailed.take(dsn(letter)) == Taken("bounce", "hard")


# --- which letter it is about ---


def test_each_of_three_names_finds_the_letter(mailed: Mailed) -> None:
    """EML-08, EML-09: ENVID, return path, Message-ID."""
    p0, p1, p2 = (mailed.letters[key] for key in ("p0", "p1", "p2"))
    local = return_path_of(mailed, p2.letter_id)
    assert mailed.take(dsn(p0, header="Subject: none")).verdict == "hard"
    assert mailed.take(dsn(p1, envid="")).verdict == "hard"
    assert mailed.take(dsn(p2, envid="", header="X: y", to=f"{local}@b.test")).verdict == "hard"
    assert len(mailed.suppressions()) == 3


def return_path_of(mailed: Mailed, envid: str) -> str:
    practice = load_practice(HOME / "practice.yaml")
    returns = practice.returns.model_copy(update={"bounce_domain": "bounce.example.org"})
    practice = practice.model_copy(update={"returns": returns})
    return return_path(practice, mailed.desk.keyring, UUID(envid)).partition("@")[0]


def test_a_return_path_without_our_tag_names_nobody(mailed: Mailed) -> None:
    local = return_path_of(mailed, mailed.letters["p0"].letter_id)
    keyring = mailed.desk.keyring
    assert letter_of(keyring, local.upper()) is not None
    for forged in (local[:-1] + ("0" if local[-1] != "0" else "1"), local[:-17], "b--", ""):
        assert letter_of(keyring, forged) is None


def test_an_envid_without_our_tag_names_nobody(mailed: Mailed) -> None:
    """Whoever has read a letter's id in a list can forge no notice of it."""
    letter, keyring = mailed.letters["p0"], mailed.desk.keyring
    assert letter_of_envid(keyring, letter.envid.upper()) == UUID(letter.letter_id)
    tagged = return_path_of(mailed, letter.letter_id).removeprefix("b-")
    bare, wrong = letter.letter_id, letter.envid[:-1] + ("0" if letter.envid[-1] != "0" else "1")
    for forged in (bare, wrong, tagged, ""):
        assert letter_of_envid(keyring, forged) is None
        assert mailed.take(dsn(letter, envid=forged, header="X: y")).verdict == "unnamed"


def test_the_same_news_again_is_not_on_record_again(mailed: Mailed) -> None:
    letter = mailed.letters["p0"]
    for status in ("5.1.1", "5.1.2"):
        assert mailed.take(dsn(letter, status=status)).verdict == "hard"
    assert len(mailed.suppressions()) == 1
    assert [one["action"] for one in mailed.records()].count("suppressed") == 1


def test_no_address_finds_a_letter(mailed: Mailed) -> None:
    letter = mailed.letters["p0"]
    assert mailed.take(dsn(letter, envid="", header=f"To: {letter.recipient}")).verdict == "unnamed"
    assert mailed.take(dsn(letter, envid="f" * 32, header="X: y")).verdict == "unnamed"
    assert mailed.suppressions() == []


def test_names_of_two_letters_match_neither(mailed: Mailed) -> None:
    p0, p1 = mailed.letters["p0"], mailed.letters["p1"]
    assert mailed.take(dsn(p0, envid=p1.envid)).verdict == "contradictory"
    assert mailed.suppressions() == []


def test_a_notice_about_somebody_else_counts_as_passing_trouble(mailed: Mailed) -> None:
    """A forwarded mailbox is dead, or somebody changed the notice."""
    taken = mailed.take(dsn(mailed.letters["p0"], recipient="other@example.net"))
    assert taken == Taken("bounce", "soft")
    assert mailed.suppressions() == []


def test_a_letter_that_was_never_offered_cannot_come_back(mailed: Mailed) -> None:
    letter = mailed.letters["p0"]
    mailed.practice.spoil(
        f"UPDATE letter SET state = 'composed' WHERE letter_id = '{letter.letter_id}'"
    )
    assert mailed.take(dsn(letter)).verdict == "not_out"
    assert mailed.suppressions() == []


# --- the way back ---


def test_what_was_lifted_stays_lifted_whatever_is_said_of_that_letter_again(
    mailed: Mailed,
) -> None:
    letter, path = mailed.letters["p0"], mailed.practice.settings.suppressions_path
    mailed.take(dsn(letter))
    [row] = mailed.suppressions()
    with mailed.desk.store.begin() as connection:
        which = row["suppression_id"]
        suppressions.lift(connection, path, which, at=NOW, by="olga")  # type: ignore[arg-type]
        assert suppressions.listed(connection, NOW) == []
    mailed.take(dsn(letter, diagnostic="smtp; 550 5.1.1 no such user, again"))
    [row] = mailed.suppressions()
    assert row["lifted_by"] == "olga"


def test_a_store_from_a_backup_learns_of_every_suppression_and_lift(mailed: Mailed) -> None:
    """SEC-08."""
    path = mailed.practice.settings.suppressions_path
    mailed.take(dsn(mailed.letters["p0"]))
    mailed.take(complaint(mailed.letters["p1"]))
    with mailed.desk.store.begin() as connection:
        [_, bounced] = sorted(suppressions.listed(connection, NOW), key=lambda one: one.reason)
        suppressions.lift(connection, path, bounced.suppression_id, at=NOW, by="olga")
    before = mailed.suppressions()
    mailed.practice.spoil(
        "TRUNCATE suppression", "UPDATE suppression_mark SET applied = 0, tail = ''"
    )
    with mailed.desk.store.begin() as connection:
        assert suppressions.replay(connection, path) == 3
        assert suppressions.replay(connection, path) == 0
    assert mailed.suppressions() == before


def test_a_lost_journal_of_suppressions_stops_everything_until_it_is_mended(
    mailed: Mailed,
) -> None:
    path = mailed.practice.settings.suppressions_path
    mailed.take(dsn(mailed.letters["p0"]))
    kept = path.read_bytes()
    path.unlink()
    with mailed.desk.store.begin() as connection:
        with pytest.raises(StoreError, match=r"suppressions.jsonl has 0 bytes"):
            suppressions.replay(connection, path)
        assert suppressions.mend(connection, path) == 0
        assert suppressions.replay(connection, path) == 0
    assert path.read_bytes() == kept
    path.write_bytes(kept + b"{}\n")
    found = pytest.raises(StoreError, match=r":2: this line of the journal")
    with mailed.desk.store.begin() as connection, found:
        suppressions.replay(connection, path)


def test_nothing_of_a_patient_but_pseudonyms_is_kept_of_what_came_back(mailed: Mailed) -> None:
    """SEC-10, EML-10: the returned letter is discarded."""
    letter = mailed.letters["p0"]
    mailed.take(dsn(letter))
    mailed.take(complaint(letter))
    kept = mailed.practice.settings.suppressions_path.read_text(encoding="utf-8")
    for table in ("response", "suppression"):
        kept += str(mailed.practice.rows(f"SELECT * FROM {table}"))
    kept += str(mailed.records()) + str(mailed.records("disclosure"))
    for canary in (letter.recipient, letter.token, "what the letter said", "mx.test"):
        assert canary not in kept
