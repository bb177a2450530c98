"""What patients said after the backup holds though the journals are lost with the store (SEC-08,
EML-26): the ledger's entries know it, and the archive has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from drill import CAMPAIGN, Drill
from notices import Sent, dsn
from reengage import opt_outs, refusals
from reengage.keys import open_keyring
from reengage.ledger.append import append
from reengage.ledger.entry import parse
from reengage.ledger.owed import Owed
from reengage.ledger.records import access
from reengage.pipeline.send import send
from reengage.portal.keeper import open_incidents
from reengage.practice import load_practice
from reengage.refusals import Refusal
from reengage.responses.read import desk_of
from reengage.responses.take import take_message
from sqlalchemy import Connection, create_engine

REFUSALS = {
    "revocation": "patient, purpose, revoked_at, channel, source",
    "opt_out": "patient, campaign, channel, at",
    "restriction": "patient, at, channel",
    "preference": "patient, kind, value, at, channel",
}
SUPPRESSED = (
    "suppression_id, reason, recipient, patient, purpose, letter_id, evidence, status, at,"
    " expires_at, lifted_by, lifted_at IS NOT NULL AS lifted"
)
PORTAL_PATIENT = "p3"


@pytest.fixture
def mailed(site: Drill) -> Drill:
    """A backup of a practice that has sent a few letters."""
    for number in range(site.letters):
        site.practice.world.patient(f"p{number}")
    run = site.practice.open(CAMPAIGN)
    for chunk in site.practice.hurry(run):
        assert send(run, chunk)["sent"] == site.letters
    site.command("opt-out", "--patient", "p4")
    site.back_up()
    return site


def within(site: Drill, what: Callable[[Connection], object]) -> None:
    engine = create_engine(site.practice.settings.store_url)
    with engine.begin() as connection:
        what(connection)
    engine.dispose()


def tell(site: Drill, *said: tuple[refusals.Kind, str | None]) -> None:
    """What a patient says at the portal."""
    settings = site.practice.settings
    ring = open_keyring(settings.keyring)
    within(site, lambda connection: opt_outs.tell(
        connection, ring, settings.journal_path, ring.pseudonym("patient", PORTAL_PATIENT), said,
        channel="portal",
    ))  # fmt: skip


def come_back(site: Drill, number: int) -> None:
    """A letter comes back, and its address is suppressed."""
    content = dsn(Sent.of(site.relay.letters[number]))
    assert take_message(desk_of(site.practice.settings), "maildir", content).verdict == "hard"


def lift(site: Drill, number: int) -> None:
    recipient = Sent.of(site.relay.letters[number]).recipient
    ring = open_keyring(site.practice.settings.keyring)
    [row] = site.practice.rows(
        "SELECT suppression_id FROM suppression WHERE recipient = :r",
        r=ring.pseudonym("recipient", recipient),
    )
    site.command(
        "suppressions", "lift", str(row["suppression_id"]), "--because", "confirmed by telephone"
    )


def refuse_all(site: Drill) -> None:
    """Every kind of thing that is said, by every way in which it is said."""
    earlier = "2025-05-01T10:30:00-05:00"
    site.command("revoke", "--patient", "p0", "--channel", "phone", "--at", earlier)
    site.command("opt-out", "--patient", "p1", "--campaign", CAMPAIGN, "--channel", "letter")
    address = f"{'a' * 32}:{'b' * 32}"
    tell(
        site, ("opt_out", None), ("restriction", None), ("language", "es"), ("address", address),
        ("revocation", "marketing"),
    )  # fmt: skip
    come_back(site, 0)
    come_back(site, 1)
    lift(site, 1)


def known(site: Drill) -> dict[str, list[dict[str, object]]]:
    found = {
        table: site.practice.rows(f"SELECT {columns} FROM {table} ORDER BY {columns}")
        for table, columns in REFUSALS.items()
    }
    held = site.practice.rows(f"SELECT {SUPPRESSED} FROM suppression ORDER BY suppression_id")
    return {**found, "suppression": held}


def records(site: Drill) -> list[dict[str, Any]]:
    found = site.practice.rows("SELECT entry FROM ledger_entry WHERE kind = 'access'")
    bodies = [dict(parse(bytes(row["entry"])).body) for row in found]  # type: ignore[call-overload]
    said = ("recorded", "suppressed", "lifted")
    return [one for one in bodies if one["action"] in said]


def lose_all(site: Drill) -> None:
    settings = site.practice.settings
    site.lose()
    for journal in (settings.journal_path, settings.suppressions_path):
        journal.unlink(missing_ok=True)


def test_what_was_said_after_the_backup_holds_without_its_journals(mailed: Drill) -> None:
    refuse_all(mailed)
    mailed.audited()
    before, on_record = known(mailed), records(mailed)
    assert all(before.values())
    lose_all(mailed)
    told = mailed.restore()
    assert known(mailed) == before
    assert "of 10 from the ledger's entries" in told
    assert "refusals.jsonl and suppressions.jsonl: nothing beyond the last backup" in told
    assert "is known up to the ledger's entry" in told

    # Nothing is on record twice, and nothing is owed.
    assert records(mailed) == on_record
    assert mailed.practice.rows("SELECT FROM ledger_owed") == []
    assert "the ledger is sound" in mailed.command("ledger", "verify")

    # The journals know it again, for the next store that comes back.
    assert "the store learnt of 0 refusals" in mailed.command("journal", "mend")
    mailed.practice.open(CAMPAIGN)
    lose_all(mailed)
    mailed.restore()
    assert known(mailed) == before


def test_what_a_journal_kept_is_not_put_on_record_again(mailed: Drill) -> None:
    refuse_all(mailed)
    mailed.audited()
    before, on_record = known(mailed), records(mailed)
    mailed.lose()
    told = mailed.restore()
    assert "of 0 from the ledger's entries" in told
    assert "nothing beyond the last backup" not in told
    assert known(mailed) == before
    assert records(mailed) == on_record


def test_what_came_after_the_last_checkpoint_is_taken_from_a_journal_and_put_on_record(
    mailed: Drill,
) -> None:
    refuse_all(mailed)
    mailed.audited()
    tell(mailed, ("opt_out", CAMPAIGN))
    mailed.command("revoke", "--patient", "p2", "--channel", "phone")
    come_back(mailed, 2)
    before, on_record = known(mailed), len(records(mailed))
    mailed.lose()
    mailed.restore()
    assert known(mailed) == before
    late = [one for one in records(mailed) if one["detail"].get("caught_up")]
    assert [one["of"] for one in late] == ["opt_out", "revocation", "suppression"]
    assert len(records(mailed)) == on_record

    # So that it holds where the journals are lost next time.
    mailed.audited()
    lose_all(mailed)
    mailed.restore()
    assert known(mailed) == before


def test_a_restore_that_was_broken_off_hears_it_once(
    mailed: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journals have it by then, and the store that is restored again is told by them."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    refuse_all(mailed)
    mailed.audited()
    before, on_record = known(mailed), records(mailed)
    lose_all(mailed)
    with monkeypatch.context() as patched:
        patched.setattr("reengage.backup.restore.settle_restored", die)
        mailed.command("restore", str(mailed.store), "--keys", str(mailed.keys), status=130)
    mailed.restore()
    assert known(mailed) == before
    assert records(mailed) == on_record


def test_an_entry_of_an_earlier_version_ends_every_form_until_it_was_recorded(
    mailed: Drill,
) -> None:
    """It does not say when the patient spoke; never is a form revived that they took back."""
    ring = open_keyring(mailed.practice.settings.keyring)
    patient = ring.pseudonym("patient", "p0")
    detail = {"patient": patient, "scope": None, "channel": "phone"}
    record = access(actor="olga", action="recorded", of="revocation", detail=detail)
    within(mailed, lambda connection: append(connection, ring, [record]))
    mailed.audited()
    [entry] = mailed.practice.rows(
        "SELECT recorded_at FROM ledger_head"  # of what was appended last: the checkpoint's record
    )
    lose_all(mailed)
    mailed.restore()
    [row] = mailed.practice.rows("SELECT patient, purpose, revoked_at FROM revocation")
    assert (row["patient"], row["purpose"]) == (patient, None)
    assert row["revoked_at"] <= entry["recorded_at"]  # type: ignore[operator]
    assert (entry["recorded_at"] - row["revoked_at"]).total_seconds() < 3600  # type: ignore[operator]


def test_an_entry_of_an_earlier_version_is_what_the_journal_has(
    mailed: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a second revocation, later than what the patient said, nor a second record."""
    said = refusals._owed

    def without_instant(one: Refusal) -> Owed:
        owed = said(one)
        return replace(owed, detail={k: v for k, v in owed.detail.items() if k != "at"})

    monkeypatch.setattr(refusals, "_owed", without_instant)
    tell(mailed, ("revocation", None), ("opt_out", CAMPAIGN))
    mailed.audited()
    before, on_record = known(mailed), records(mailed)
    mailed.lose()
    assert "of 0 from the ledger's entries" in mailed.restore()
    assert known(mailed) == before
    assert records(mailed) == on_record


@pytest.mark.parametrize("reopened", [False, True])
def test_the_address_of_who_said_that_it_is_not_theirs_is_left_alone(
    mailed: Drill, *, reopened: bool
) -> None:
    settings = mailed.practice.settings
    ring = open_keyring(settings.keyring)
    mailed.practice.spoil(
        "INSERT INTO portal_message (message_id, letter_id, patient, sealed, expires_at, recipient)"
        " SELECT repeat('a', 22), letter_id, patient, 'sealed', now() + interval '9 days',"
        " recipient_id FROM letter LIMIT 1"
    )
    mailed.back_up()
    mailed.practice.spoil(
        "INSERT INTO portal_guess (message_id, reported_at) VALUES (repeat('a', 22), now())"
    )
    practice = load_practice(settings.home / "practice.yaml")
    within(mailed, lambda connection: open_incidents(connection, ring, settings, practice))
    if reopened:
        mailed.command("portal", "reopen", "a" * 22)
    mailed.audited()
    before = known(mailed)["suppression"]
    assert [(one["reason"], one["lifted"]) for one in before] == [("not_me", reopened)]
    lose_all(mailed)
    mailed.restore()
    assert known(mailed)["suppression"] == before

    # Nobody says it a second time, and a letter that was reopened stays so.
    incidents = mailed.practice.rows(
        "SELECT closed_by IS NOT NULL AS reopened FROM portal_incident"
    )
    assert incidents == [{"reopened": reopened}]
    within(mailed, lambda connection: open_incidents(connection, ring, settings, practice))
    assert known(mailed)["suppression"] == before
    assert len([one for one in records(mailed) if one["of"] == "incident"]) == 1
    held = mailed.practice.rows(
        "SELECT FROM portal_guess WHERE reported_at IS NOT NULL OR wrong > 0"
    )
    assert (held == []) is reopened
