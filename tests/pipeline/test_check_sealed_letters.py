"""The check of letters that are sealed: opened as their recipient will, layer by layer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from reengage.errors import LetterError, ReengageError
from reengage.pipeline import outbox
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.check_letters import facts
from reengage.pipeline.composing import letter_parts, links_of, notice_parts, render, wordings
from reengage.pipeline.run import Run
from reengage.pipeline.seal import finished
from reengage.sealing import portal, smime
from reengage.sealing.certificates import certificate_of
from reengage.sealing.protection import protect
from sealed import CANARY, PORTAL, House

SOUND = {
    "fields_declared": True, "undeclared_parts": 0, "header_faults": 0, "foreign_headers": 0,
    "addressed_right": True, "remote_fetches": 0, "tracking_links": 0,
}  # fmt: skip
Tamper = Callable[["Desk", outbox.Draft], Addressed]


class Desk:
    """One letter that waits for its check."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.run: Run = house.practice.open("medication_reminder")
        house.practice.hurry(self.run)
        with self.run.store.begin() as connection:
            connection.exec_driver_sql("UPDATE letter SET checked_at = NULL")
        with self.run.store.connect() as connection:
            [self.draft] = outbox.drafts(connection, self.run, 0, 10)
        self.words = wordings(self.run)["en"]

    def judged(self, letter: Addressed) -> dict[str, object]:
        """What the check knows of this letter in the other's place, without what varies."""
        found = facts(self.run, replace(self.draft, letter=letter), wordings(self.run))
        return {name: found[name] for name in SOUND}

    def sealed_anew(self, payload: bytes, fields: tuple[bytes, ...] | None = None) -> Addressed:
        """The S/MIME letter with another payload, sealed as soundly as the first."""
        assert self.run.signer is not None
        pem = self.house.correspondents.people["p1@example.org"][1]
        der = base64.b64decode("".join(pem.splitlines()[1:-1]))
        sealed = smime.seal(payload, certificate_of(der), self.run.signer)
        outer = fields or self.outer()
        message = finished(self.run, outer, sealed.entity)
        return replace(self.draft.letter, message=message, content_key=sealed.content_key)

    def outer(self) -> tuple[bytes, ...]:
        return protect(*self.parts())[0]

    def payload(self) -> bytes:
        return protect(*self.parts())[1]

    def parts(self) -> tuple[tuple[bytes, ...], bytes]:
        letter = self.draft.letter
        parts = letter_parts(
            self.run, self.words.letter, letter.declared, letter.recipient, self.draft.identity
        )
        return parts.fields, parts.entity

    def left_anew(self, page: portal.Page, notice: Callable[[bytes], bytes]) -> Addressed:
        """The letter at the portal with another page and another notice."""
        assert self.words.notice is not None
        left = portal.deposit(page)
        recipient, identity = self.draft.letter.recipient, self.draft.identity
        parts = notice_parts(self.run, self.words.notice, left.link(PORTAL), recipient, identity)
        message = finished(self.run, parts.fields, notice(parts.entity))
        return replace(
            self.draft.letter, message=message, deposit=(left.message_id, left.ciphertext)
        )

    def page(self) -> portal.Page:
        letter, links = self.draft.letter, links_of(self.run, self.draft.identity)
        said = render(self.run, self.words.letter, letter.declared, links)
        return portal.Page(said.subject, said.text, said.html)


@pytest.fixture
def sealed(house: House) -> Desk:
    house.certified("p1", reads=True)
    return Desk(house)


@pytest.fixture
def waiting(house: House) -> Desk:
    house.with_portal().without_guarantee().patient("p1")
    return Desk(house)


def as_it_is(octets: bytes) -> bytes:
    return octets


def test_a_letter_by_smime_passes_as_it_was_sealed(sealed: Desk) -> None:
    assert sealed.draft.letter.way.mode == "smime"
    assert sealed.judged(sealed.draft.letter) == SOUND
    assert sealed.judged(sealed.sealed_anew(sealed.payload())) == SOUND


def test_a_letter_at_the_portal_passes_as_it_was_left(waiting: Desk) -> None:
    assert waiting.draft.letter.way.mode == "portal"
    assert waiting.judged(waiting.draft.letter) == SOUND
    assert waiting.judged(waiting.left_anew(waiting.page(), as_it_is)) == SOUND


INSIDE: dict[str, tuple[bytes, bytes, str]] = {
    "another dosage": (b"10 MG Oral Tablet", b"90 MG Oral Tablet", "undeclared_parts"),
    "a subject of its own": (b"\r\nSubject: ", b"\r\nSubject: Diagnosis ", "foreign_headers"),
    "a header more": (b"MIME-Version", b"X-Diagnosis: flu\r\nMIME-Version", "foreign_headers"),
    "a part that fetches": (b"</body>", b"<img src=3D'x'></body>", "remote_fetches"),
}


@pytest.mark.parametrize("case", INSIDE)
def test_what_is_wrong_under_the_seal_is_found(case: str, sealed: Desk) -> None:
    """PRV-20: sealed soundly, and still not what the campaign declares."""
    old, new, named = INSIDE[case]
    payload = sealed.payload()
    if old not in payload:  # MIME-Version is outside
        old, new = b"\r\nAuto-Submitted", b"\r\nX-Diagnosis: flu\r\nAuto-Submitted"
    altered = payload.replace(old, new, 1)
    assert altered != payload
    found = sealed.judged(sealed.sealed_anew(altered))
    assert found != SOUND
    assert found[named]


OUTSIDE: dict[str, tuple[bytes, bytes, str]] = {
    "a subject that tells": (b"Subject: [...]", b"Subject: Lisinopril", "foreign_headers"),
    "a header that tells": (
        b"MIME-Version", b"X-Medicine: Lisinopril\r\nMIME-Version", "foreign_headers",
    ),
    "a file name that tells": (b"smime.p7m", b"Lisinopril.p7m", "foreign_headers"),
    "another recipient": (b"To: p1@", b"To: p2@", "addressed_right"),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_is_wrong_outside_the_seal_is_found(case: str, sealed: Desk) -> None:
    """EML-22: outside are the headers that every letter has, and nothing of this one."""
    old, new, named = OUTSIDE[case]
    letter = sealed.draft.letter
    assert old in letter.message
    altered = replace(letter, message=letter.message.replace(old, new, 1))
    found = sealed.judged(altered)
    assert found != SOUND
    assert found[named] != SOUND[named]


def test_a_letter_that_was_never_sealed_does_not_pass_for_one(sealed: Desk) -> None:
    fields, entity = sealed.parts()
    clear = replace(sealed.draft.letter, message=finished(sealed.run, fields, entity))
    assert CANARY.encode() in clear.message
    with pytest.raises(LetterError):
        sealed.judged(clear)


def test_a_letter_that_does_not_open_by_its_content_key_does_not_pass(sealed: Desk) -> None:
    letter = sealed.draft.letter
    assert letter.content_key is not None
    other = bytes([letter.content_key[0] ^ 1]) + letter.content_key[1:]
    with pytest.raises(ReengageError):
        sealed.judged(replace(letter, content_key=other))
    at = letter.message.rindex(b"\r\n", 0, -4) - 5
    flipped = b"A" if letter.message[at : at + 1] != b"A" else b"B"
    message = letter.message[:at] + flipped + letter.message[at + 1 :]
    with pytest.raises(ReengageError):
        sealed.judged(replace(letter, message=message))


def test_a_page_at_the_portal_that_says_more_is_found(waiting: Desk) -> None:
    page = waiting.page()
    for changed in (
        replace(page, text=page.text + "Diagnosis"),
        replace(page, html=page.html.replace("</body>", "Diagnosis</body>")),
        replace(page, text=page.text.replace("10 MG", "90 MG")),
    ):
        assert changed != page
        found = waiting.judged(waiting.left_anew(changed, as_it_is))
        assert found["undeclared_parts"] == 1
    subject = replace(page, subject="Diagnosis")
    assert waiting.judged(waiting.left_anew(subject, as_it_is))["foreign_headers"]


def test_a_notice_that_says_anything_of_the_letter_is_found(waiting: Desk) -> None:
    def telling(entity: bytes) -> bytes:
        assert b"</body>" in entity
        return entity.replace(b"</body>", b"Lisinopril</body>", 1)

    assert waiting.judged(waiting.left_anew(waiting.page(), telling))["undeclared_parts"] == 1


def test_a_notice_that_leads_to_another_letter_does_not_pass(waiting: Desk) -> None:
    other = waiting.left_anew(waiting.page(), as_it_is)
    with pytest.raises(LetterError, match="no link"):
        waiting.judged(replace(waiting.draft.letter, message=other.message))
