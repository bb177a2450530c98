"""Each letter in the strongest way that its recipient can open, from the decision to the relay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reengage.errors import KeyringError
from reengage.pipeline.check_letters import check_letters
from reengage.pipeline.letter import write_letters
from reengage.pipeline.run import Run
from reengage.pipeline.settle import settle
from reengage.reasons import EXCLUDED
from reengage.sealing.certificates import FAULTS
from seal_faults import FAULTY, LACKING
from sealed import CAMPAIGN, CANARY, OFFERED, House, parsed, said
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


def test_the_table_of_faults_is_whole() -> None:
    codes = {one.code for one in EXCLUDED if {"EML-17", "EML-21"} & set(one.rules)}
    assert {*FAULTY, *LACKING} == codes
    assert set(FAULTS) <= set(FAULTY)


@pytest.mark.parametrize("reason", FAULTY)
def test_a_certificate_that_may_not_be_used_excludes_with_its_fault_and_never_weakens_the_letter(
    reason: str, house: House, hostile: HostileRelay
) -> None:
    """EML-23: TLS is guaranteed by contract, and is no answer for who has a certificate."""
    FAULTY[reason](house)
    house.patient("p2")
    run = house.run()
    house.send(run)
    assert house.practice.reasons(run) == {"p1": [reason], "p2": []}
    [letter] = hostile.letters
    assert "<p2@example.org>" in letter.rcpt


@pytest.mark.parametrize("reason", FAULTY)
def test_with_a_portal_such_a_letter_waits_there(
    reason: str, house: House, hostile: HostileRelay
) -> None:
    house.with_portal()
    FAULTY[reason](house)
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
