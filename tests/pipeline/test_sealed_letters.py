"""Each letter in the strongest way that its recipient can open, from the decision to the relay."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from reengage.errors import KeyringError
from reengage.pipeline import attempts, outbox
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.deposits import open_deposit, remove_expired
from reengage.pipeline.letter import write_letters
from reengage.pipeline.run import Run
from reengage.pipeline.settle import settle, shred
from reengage.sealing import portal
from sealed import CAMPAIGN, CANARY, OFFERED, PORTAL, House, parsed, said
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW

# --- S/MIME ---


def test_who_has_a_certificate_gets_a_letter_that_only_they_can_read(
    house: House, hostile: HostileRelay
) -> None:
    """EML-21, EML-22: signed, sealed, and nothing of it outside."""
    house.certified("p1", reads=True)
    run = house.checked()
    house.send(run)
    assert house.seals() == {house.name("p1"): ("smime", "certificate")}
    [letter] = hostile.letters
    outer = parsed(letter.content)
    assert outer.get_content_type() == "application/pkcs7-mime"
    assert outer["Subject"] == "[...]"
    assert CANARY.encode() not in letter.content
    inner = house.correspondents.open(letter.content, "p1@example.org")
    assert f"{CANARY} p1" in said(parsed(inner))
    assert parsed(inner)["Subject"] not in (None, "[...]")
    assert b"Qanarymed" not in hostile.wire


def test_the_disclosure_record_says_how_the_letter_was_sealed(
    house: House, hostile: HostileRelay
) -> None:
    house.certified("p1", reads=True)
    house.patient("p2")
    house.send(house.run())
    found = house.practice.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
        " WHERE kind = 'disclosure'"
    )
    bodies: dict[str, Any] = {row["body"]["patient"]: row["body"] for row in found}  # type: ignore[index]
    seals = {name: (one["seal"], one["seal_basis"]) for name, one in bodies.items()}
    assert seals == {
        house.name("p1"): ("smime", "certificate"),
        house.name("p2"): ("tls", "contract"),
    }


EXCLUDED: dict[str, Callable[[House], None]] = {
    "certificate_client_unknown": lambda h: h.certified("p1"),
    "certificate_malformed": lambda h: h.patient("p1", certificate="no certificate", reads=True),
    "certificate_too_large": lambda h: h.patient("p1", certificate="x" * 10_000_000, reads=True),
    "certificate_wrong_address": lambda h: h.patient(
        "p1", certificate=h.correspondents.certify("p2@example.org"), reads=True
    ),
    "certificate_expired": lambda h: h.patient(
        "p1", certificate=h.correspondents.certify("p1@example.org", expired=True), reads=True
    ),
    "certificate_revoked": lambda h: h.patient(
        "p1", certificate=h.correspondents.certify("p1@example.org", revoked=True), reads=True
    ),
    "certificate_untrusted": lambda h: h.patient(
        "p1", certificate=h.correspondents.stranger().certify("p1@example.org"), reads=True
    ),
}


@pytest.mark.parametrize("reason", EXCLUDED)
def test_a_certificate_that_may_not_be_used_excludes_with_its_fault_and_never_weakens_the_letter(
    reason: str, house: House, hostile: HostileRelay
) -> None:
    """EML-23: TLS is guaranteed by contract, and is no answer for who has a certificate."""
    EXCLUDED[reason](house)
    house.patient("p2")
    run = house.run()
    house.send(run)
    assert house.practice.reasons(run) == {"p1": [reason], "p2": []}
    [letter] = hostile.letters
    assert "<p2@example.org>" in letter.rcpt


@pytest.mark.parametrize("reason", EXCLUDED)
def test_with_a_portal_such_a_letter_waits_there(
    reason: str, house: House, hostile: HostileRelay
) -> None:
    house.with_portal()
    EXCLUDED[reason](house)
    run = house.run()
    house.send(run)
    assert house.seals() == {house.name("p1"): ("portal", "link")}
    [letter] = hostile.letters
    assert CANARY not in said(parsed(letter.content))


def test_a_practice_without_an_identity_seals_for_no_certificate(house: House) -> None:
    house.correspondents.unequip(house.practice.settings.keyring)
    house.certified("p1", reads=True)
    run = house.practice.open(CAMPAIGN)
    house.practice.planned(run)
    assert house.practice.reasons(run) == {"p1": ["no_signing_certificate"]}


def test_an_identity_that_has_expired_stops_the_campaign_before_a_patient_is_read(
    house: House,
) -> None:
    house.correspondents.equip(
        house.practice.settings.keyring, "letters@prairie.example.org", expired=True
    )
    with pytest.raises(KeyringError, match="S/MIME identity"):
        house.practice.open(CAMPAIGN)


def test_a_minors_letter_is_not_sealed_with_the_patients_certificate(house: House) -> None:
    """PRV-15: it goes to who signed for them."""
    key = "p1"
    house.practice.world.patient(
        key,
        patient={"birth_date": NOW.date().replace(year=2015)},
        contact={
            "smime_certificate": house.correspondents.certify(f"{key}@example.org"),
            "reads_authenticated_encryption": True,
        },
        authorization={"representative_key": "mother"},
    )
    house.practice.world.set(
        "representative", patient_key=key, representative_key="mother", authority="parent",
        email="mother@example.org", verified_at=NOW.replace(year=2020), limited_by=None,
        blocked=False,
    )  # fmt: skip
    house.run()
    assert house.seals() == {house.name(key): ("tls", "contract")}


# --- guaranteed TLS ---


def test_without_any_guarantee_and_without_a_portal_nobody_is_written_to(
    house: House, hostile: HostileRelay
) -> None:
    """PRV-24, EML-17: TLS to the relay alone says nothing of the way behind it."""
    house.without_guarantee().patient("p1")
    run = house.practice.open(CAMPAIGN)
    house.practice.planned(run)
    assert house.practice.reasons(run) == {"p1": ["no_safe_way"]}


def test_a_relay_that_offers_requiretls_is_asked_for_it_with_each_letter(
    house: House, hostile: HostileRelay
) -> None:
    """EML-19: no contract needed; the relay answers for the way behind it."""
    hostile.extensions = OFFERED
    house.by_requiretls().patient("p1")
    house.send(house.run())
    assert house.seals() == {house.name("p1"): ("tls", "requiretls")}
    [mail] = [command for command in hostile.commands if command.startswith("MAIL")]
    assert mail.endswith(" REQUIRETLS") or " REQUIRETLS " in mail
    [row] = house.practice.rows("SELECT evidence FROM letter")
    assert row["evidence"]["requiretls"] is True  # type: ignore[index]


def test_an_offer_of_requiretls_that_nobody_says_is_enforced_is_no_guarantee(
    house: House, hostile: HostileRelay
) -> None:
    """A relay may take it for a wish and deliver in clear (ADR 0022)."""
    hostile.extensions = OFFERED
    house.without_guarantee().patient("p1")
    run = house.practice.open(CAMPAIGN)
    house.practice.planned(run)
    assert house.practice.reasons(run) == {"p1": ["no_safe_way"]}


def test_requiretls_that_is_enforced_by_the_entry_and_not_offered_is_no_guarantee(
    house: House, hostile: HostileRelay
) -> None:
    house.by_requiretls().patient("p1")
    run = house.practice.open(CAMPAIGN)
    house.practice.planned(run)
    assert house.practice.reasons(run) == {"p1": ["no_safe_way"]}


def test_letters_that_protect_themselves_ask_for_no_requiretls(
    house: House, hostile: HostileRelay
) -> None:
    hostile.extensions = OFFERED
    house.with_portal().certified("p1", reads=True)
    house.certified("p2")
    house.send(house.run())
    assert [seal for seal, _ in house.seals().values()].count("portal") == 1
    assert not any("REQUIRETLS" in command for command in hostile.commands)


# --- portal ---


def test_a_letter_at_the_portal_opens_by_the_link_in_its_notice_and_by_nothing_else(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.checked()
    assert house.practice.rows("SELECT * FROM portal_message") == []  # nothing before the claim
    house.send(run)
    [letter] = hostile.letters
    notice = parsed(letter.content)
    assert CANARY not in said(notice)
    [link] = set(re.findall(re.escape(PORTAL) + r"[\w#-]+", said(notice)))
    named = portal.key_of(link, portal_url=PORTAL)
    assert named is not None
    message_id, key = named
    [row] = house.practice.rows("SELECT * FROM portal_message")
    assert row["message_id"] == message_id
    sealed: Any = row["sealed"]
    with pytest.raises(KeyringError):  # the row alone, even with the link
        portal.pick_up(sealed, key=key, message_id=message_id)
    ciphertext = open_deposit(run.keyring, message_id, sealed)
    page = portal.pick_up(ciphertext, key=key, message_id=message_id)
    assert f"{CANARY} p1" in page.text
    assert f"{CANARY} p1" in page.html
    assert CANARY not in ciphertext.decode("latin-1")


def test_the_key_of_a_letter_at_the_portal_is_nowhere_but_in_the_mail_once_the_run_is_over(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    settle(run)
    shred(run)
    [letter] = hostile.letters
    [key] = set(re.findall(r"#([\w-]{43})", said(parsed(letter.content))))
    tables = house.practice.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    for table in tables:
        for row in house.practice.rows(f'SELECT * FROM "{table["table_name"]}"'):
            assert key not in str(row)
    files = [path for path in house.practice.settings.keyring.rglob("*") if path.is_file()]
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_what_waits_at_the_portal_goes_when_its_time_is_over(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    with run.store.begin() as connection:
        assert remove_expired(connection, NOW.replace(month=7, day=1)) == 0
        assert remove_expired(connection, NOW.replace(month=7, day=3)) == 1


def test_a_letter_that_the_relay_refuses_leaves_nothing_at_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "550 5.1.1 no such user"}
    house.with_portal().without_guarantee().patient("p1")
    house.send(house.run())
    assert house.practice.states() == {"refused": 1}
    assert house.practice.rows("SELECT * FROM portal_message") == []


def test_the_time_at_the_portal_begins_with_the_claim_that_the_letter_goes_under(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": ["451 4.7.1 later", "250 2.1.5 ok"]}
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    [before] = house.practice.rows("SELECT * FROM portal_message")
    later = replace(run, settings=house.practice.at(NOW + timedelta(hours=1)).settings)
    house.send(later)
    assert house.practice.states() == {"sent": 1}
    [after] = house.practice.rows("SELECT * FROM portal_message")
    assert after["message_id"] == before["message_id"]
    assert after["expires_at"] == before["expires_at"] + timedelta(hours=1)  # type: ignore[operator]


def released(house: House) -> Run:
    """A run whose portal letter was claimed and given back."""
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    with run.store.connect() as connection:
        letters = outbox.open_letters(connection, run, 0, outbox.clock(connection))
        outbox.claim(
            connection, run, letters, token=uuid4(), denied={}, consents={},
            warehouse_read_at=outbox.clock(connection), baa_id="x",
        )  # fmt: skip
        connection.commit()
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1
    with run.store.begin() as connection:
        attempts.release(connection, run, 0)
    return run


def test_a_letter_that_is_given_back_leaves_nothing_at_the_portal_and_may_be_composed_anew(
    house: House, hostile: HostileRelay
) -> None:
    run = released(house)
    assert house.practice.rows("SELECT * FROM portal_message") == []
    house.practice.hurry(run)
    house.send(run)
    assert house.practice.states() == {"sent": 1}


def test_a_letter_that_is_withheld_at_a_later_look_leaves_nothing_at_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "451 4.7.1 later"}
    house.with_portal().without_guarantee().patient("p1")
    run = house.run()
    house.send(run)
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1
    house.practice.world.set("opt_out", patient_key="p1", campaign=None, at=NOW)
    house.send(run)
    assert house.outcomes() == {"p1": "opted_out"}
    assert house.practice.rows("SELECT * FROM portal_message") == []


def test_a_rehearsal_takes_nothing_away_from_the_portal(
    house: House, hostile: HostileRelay
) -> None:
    house.with_portal().without_guarantee().patient("p1")
    house.send(house.run())
    ahead = house.practice.at(NOW + timedelta(days=60)).open(CAMPAIGN, dry=True)
    settle(ahead)
    assert len(house.practice.rows("SELECT * FROM portal_message")) == 1


# --- between sealing and sending ---


def renewed(house: House) -> None:
    pem = house.correspondents.certify("p1@example.org")
    house.practice.world.change("contact", "p1", smime_certificate=pem)


def client_changed(house: House) -> None:
    house.practice.world.change("contact", "p1", reads_authenticated_encryption=False)


CHANGES: dict[str, tuple[Callable[[House], object], str]] = {
    "the certificate is another": (renewed, "certificate_changed"),
    "the certificate is gone": (
        lambda h: h.practice.world.change("contact", "p1", smime_certificate=None),
        "certificate_changed",
    ),
    "the certificate was revoked": (
        lambda h: h.correspondents.revoke("p1@example.org"),
        "certificate_revoked",
    ),
    "the client is another": (client_changed, "certificate_client_unknown"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_sealed_letter_does_not_go_when_its_certificate_no_longer_holds(
    case: str, house: House, hostile: HostileRelay
) -> None:
    """EML-23: the certificate is asked once more in the moment of the claim."""
    change, reason = CHANGES[case]
    house.certified("p1", reads=True)
    run = house.run()
    change(house)
    house.send(replace_run(run))
    assert house.outcomes() == {"p1": reason}
    assert hostile.letters == []


def replace_run(run: Run) -> Run:
    """The run as the next task has it: what it had read before is read anew."""
    return replace(run)


def test_a_certificate_that_is_revoked_between_decision_and_letter_stops_nobody_else(
    house: House, hostile: HostileRelay
) -> None:
    house.certified("p1", reads=True)
    house.patient("p2")
    run = house.practice.open(CAMPAIGN)
    chunks = house.practice.planned(run)
    house.correspondents.revoke("p1@example.org")
    for chunk in chunks:
        assert write_letters(replace(run), chunk) == 1
    assert house.practice.reasons(run) == {"p1": ["certificate_revoked"], "p2": []}
    with run.store.begin() as connection:
        connection.execute(text("UPDATE letter SET checked_at = now()"))
    house.send(run)
    assert settle(run) == {"sent": 1}


def test_the_practices_certificate_may_be_renewed_at_any_moment(
    house: House, hostile: HostileRelay
) -> None:
    """Letters that were signed before are checked and sent under the one that signed them."""
    house.certified("p1", reads=True)
    run = house.run()
    with run.store.begin() as connection:
        connection.execute(text("UPDATE letter SET checked_at = NULL"))
    signed = house.correspondents.signs
    house.correspondents.equip(house.practice.settings.keyring, "letters@prairie.example.org")
    assert check_letters(replace(run), {"number": 0, "first": 0, "last": 0}) == 1
    house.send(replace(run))
    assert house.practice.states() == {"sent": 1}
    house.correspondents.signs = signed
    [letter] = hostile.letters
    assert house.correspondents.open(letter.content, "p1@example.org")


def test_a_letter_signed_by_an_identity_that_is_gone_does_not_go(
    house: House, hostile: HostileRelay
) -> None:
    house.certified("p1", reads=True)
    run = house.run()
    house.correspondents.unequip(house.practice.settings.keyring)
    house.correspondents.equip(house.practice.settings.keyring, "letters@prairie.example.org")
    house.send(replace(run))
    assert house.outcomes() == {"p1": "seal_lapsed"}
    assert hostile.letters == []


LAPSES: dict[str, tuple[Callable[[House], object], Callable[[House], object], str]] = {
    "a certificate since a letter by TLS": (
        lambda h: h.patient("p1"),
        lambda h: h.practice.world.change(
            "contact", "p1", smime_certificate=h.correspondents.certify("p1@example.org")
        ),
        "certificate_changed",
    ),
    "a guarantee withdrawn": (
        lambda h: h.patient("p1"),
        lambda h: h.without_guarantee(),
        "seal_lapsed",
    ),
    "a portal that is gone": (
        lambda h: h.with_portal().without_guarantee().patient("p1"),
        lambda h: h.without_portal(),
        "seal_lapsed",
    ),
    "a portal that has moved": (
        lambda h: h.with_portal().without_guarantee().patient("p1"),
        lambda h: h.without_portal().with_portal("https://elsewhere.example.org/m/"),
        "seal_lapsed",
    ),
}


@pytest.mark.parametrize("case", LAPSES)
def test_a_letter_does_not_go_when_what_its_seal_rests_on_is_gone(
    case: str, house: House, hostile: HostileRelay
) -> None:
    before, change, reason = LAPSES[case]
    before(house)
    run = house.run()
    change(house)
    house.send(replace_run(run))
    assert house.outcomes() == {"p1": reason}
    assert hostile.letters == []


def test_a_relay_that_no_longer_offers_requiretls_gets_no_letter_that_rests_on_it(
    house: House, hostile: HostileRelay
) -> None:
    hostile.extensions = OFFERED
    house.by_requiretls().patient("p1")
    run = house.run()
    hostile.extensions = OFFERED[:-1]
    house.send(run)
    assert house.outcomes() == {"p1": "seal_lapsed"}
    assert hostile.letters == []


# --- what is kept of the relay ---


def test_the_relays_last_words_are_kept_sealed(house: House, hostile: HostileRelay) -> None:
    """They may quote the patient's address: by the month's key, bound to the letter."""
    hostile.script = {"reply": "554 5.7.1 <p1@example.org> is not welcome here"}
    house.patient("p1")
    run = house.run()
    house.send(run)
    [row] = house.practice.rows("SELECT letter_id, evidence, final_reply FROM letter")
    sealed: Any = row["final_reply"]
    assert b"p1@example.org" not in sealed
    assert "p1@example.org" not in str(row["evidence"])
    opened = run.keyring.month_key(run.day).open(sealed, bound_to=f"reply/{row['letter_id']}")
    assert opened.startswith(b"554 5.7.1 <p1@example.org>")
