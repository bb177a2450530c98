"""The check of finished letters: whatever is changed in one, an expectation names it, and neither
it nor another letter of its chunk may be sent."""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from quopri import decodestring
from typing import Any
from weakref import ReferenceType, ref

import pytest
from daily import Practice, dry_practice
from reengage.checks import load_suite
from reengage.embedded import postgres
from reengage.embedded.home import copy_home
from reengage.errors import GateError, StoreError
from reengage.pipeline import check_letters as checking
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.check_letters import check_letters, filled_in
from reengage.pipeline.composing import BLANK, Wording, identity_of
from reengage.pipeline.outbox import Draft
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from reengage.settings import HOME
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW

CHUNK = Chunk(number=0, first=0, last=0)
Tamper = Callable[[Addressed], Addressed]


def composed(practice: Practice, campaign: str) -> Run:
    """A run whose letters are composed, and unchecked."""
    run = practice.open(campaign, dry=not practice.settings.relays)
    practice.hurry(run)
    with run.store.begin() as store:
        store.execute(text("UPDATE letter SET checked_at = NULL"))
    return run


@dataclass
class Letters:
    """Three composed letters that nobody has checked yet."""

    practice: Practice
    run: Run

    def __post_init__(self) -> None:
        self.rows = self.practice.rows("SELECT * FROM letter ORDER BY letter_id")

    def tamper(self, change: Tamper, *, index: int = 1) -> None:
        """Change one letter in the store, sealed as it was."""
        row = self.rows[index]
        identity = identity_of(*(str(row[name]) for name in ("campaign", "patient", "period")))
        bound = f"letter/{identity}"
        letter = self.opened(index)
        changed = change(letter)
        assert changed != letter, "the tampering changed nothing"
        self._store(index, self.run.data_key.seal(changed.to_bytes(), bound_to=bound))

    def opened(self, index: int) -> Addressed:
        row = self.rows[index]
        identity = identity_of(*(str(row[name]) for name in ("campaign", "patient", "period")))
        sealed = row["sealed"]
        assert isinstance(sealed, bytes)
        return Addressed.from_bytes(self.run.data_key.open(sealed, bound_to=f"letter/{identity}"))

    def restore(self) -> None:
        for index, row in enumerate(self.rows):
            self._store(index, row["sealed"])

    def _store(self, index: int, sealed: object) -> None:
        with self.run.store.begin() as store:
            store.execute(
                text(
                    "UPDATE letter SET sealed = :sealed, checked_at = NULL"
                    " WHERE letter_id = :letter_id"
                ),
                {"sealed": sealed, "letter_id": self.rows[index]["letter_id"]},
            )

    def checked(self) -> int:
        return len(self.practice.rows("SELECT 1 FROM letter WHERE checked_at IS NOT NULL"))


def no_holdout(home: Path) -> None:
    """Everyone who is eligible is written to."""
    file = home / "campaigns" / "health_education.yaml"
    file.write_text(file.read_text().replace("holdout_share: 0.1", "holdout_share: 0.0"))


@pytest.fixture(scope="module")
def shared(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Letters]:
    directory = tmp_path_factory.mktemp("letters")
    with dry_practice(server, directory) as practice:
        home = copy_home(HOME, directory / "home")
        no_holdout(home)
        practice = replace(practice, settings=replace(practice.settings, home=home))
        for number in range(3):
            practice.world.patient(f"p{number}", appointment=None)
        yield Letters(practice, composed(practice, "health_education"))


@pytest.fixture
def letters(shared: Letters) -> Letters:
    shared.restore()
    return shared


# --- tampering ---


def bytewise(old: bytes, new: bytes) -> Tamper:
    def change(letter: Addressed) -> Addressed:
        assert old in letter.message
        return replace(letter, message=letter.message.replace(old, new, 1))

    return change


def prepended(header: bytes) -> Tamper:
    return lambda letter: replace(letter, message=header + b"\r\n" + letter.message)


def in_part(subtype: str, old: str, new: str) -> Tamper:
    """Change the words of one part."""
    begins = (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode()

    def change(letter: Addressed) -> Addressed:
        before, begin, rest = letter.message.partition(begins)
        body, end, after = rest.partition(b"\r\n--=_")
        words = decodestring(body).decode()
        assert old in words
        encoded = b2a_qp(words.replace(old, new, 1).encode(), istext=True)
        return replace(letter, message=before + begin + encoded + end + after)

    return change


def own_line(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^" + name + rb": [^\r]*(?:\r\n[ \t][^\r]*)*\r\n", re.MULTILINE)


def without_header(name: bytes) -> Tamper:
    return lambda letter: replace(letter, message=own_line(name).sub(b"", letter.message, count=1))


def attached(letter: Addressed) -> Addressed:
    head, close, _ = letter.message.rpartition(b"--\r\n")
    boundary = head[head.rindex(b"--=_") :]
    part = b"\r\nContent-Type: application/pdf\r\n\r\nthe whole record\r\n" + boundary
    return replace(letter, message=head + part + close)


def redeclared(**fields: str) -> Tamper:
    return lambda letter: replace(letter, declared={**letter.declared, **fields})


LONG_FOLDED = b"\r\n".join([b"DKIM-Signature: v=1;", *[b" " + b"a" * 70] * 1400])

TAMPERED: dict[str, tuple[Tamper, set[str]]] = {
    # a value that nobody declared
    "a value in the text": (
        in_part("plain", "TIPS TO TRY", "TIPS TO TRY 68102"), {"undeclared_parts"}
    ),
    "a value in the page": (
        in_part("html", "</body>", "<p>1970-01-01</p></body>"), {"undeclared_parts"}
    ),
    "a value in a comment of the page": (
        in_part("html", "<body", "<!-- canary --><body"), {"undeclared_parts"}
    ),
    "a value that nobody sees": (
        in_part("html", "</body>", "<p style='display:none'>canary</p></body>"),
        {"undeclared_parts"},
    ),
    "another patient's value": (
        in_part("plain", "Hello Given", "Hello Xiven"), {"undeclared_parts"}
    ),
    "the value once more": (
        in_part("plain", "TIPS TO TRY", "TIPS TO TRY, Givenp1"), {"undeclared_parts"}
    ),
    "words are missing": (in_part("plain", "TIPS TO TRY", ""), {"undeclared_parts"}),
    "an attachment": (attached, {"undeclared_parts"}),
    "words before the parts": (
        bytewise(b"\r\n\r\n--=_", b"\r\n\r\ncanary\r\n--=_"), {"undeclared_parts"}
    ),
    "words behind the parts": (
        lambda letter: replace(letter, message=letter.message + b"canary\r\n"),
        {"undeclared_parts"},
    ),
    "a part's header holds a value": (
        bytewise(b"Content-Type: text/html;", b"X-Part: canary\r\nContent-Type: text/html;"),
        {"undeclared_parts"},
    ),
    # the fields
    "a field that the campaign does not declare": (redeclared(zip="68102"), {"fields_declared"}),
    "its field is gone": (
        lambda letter: replace(letter, declared={}), {"fields_declared", "undeclared_parts"}
    ),
    # headers (EML-01, EML-02, TRK-05)
    "a header too many": (prepended(b"X-Patient: canary"), {"foreign_headers"}),
    "a header twice": (prepended(b"Subject: canary"), {"foreign_headers"}),
    "a header broken out of": (
        bytewise(b"\r\nReply-To:", b"\r\nBcc: x@example.org\r\nReply-To:"), {"foreign_headers"}
    ),
    "another subject": (
        bytewise(b"Subject: A message", b"Subject: Your diagnosis"), {"foreign_headers"}
    ),
    "no way to opt out": (without_header(b"List-Unsubscribe"), {"foreign_headers"}),
    "a line end that is none of SMTP's": (
        bytewise(b"\r\nReply-To:", b"\nReply-To:"), {"header_faults"}
    ),
    "octets beyond ASCII in the head": (
        prepended("X-Patient: canarý".encode()), {"foreign_headers", "header_faults"}
    ),
    "a date that is none": (
        lambda letter: replace(
            letter, message=own_line(b"Date").sub(b"Date: canary\r\n", letter.message)
        ),
        {"header_faults"},
    ),
    # the address (PRV-23)
    "to somebody else": (bytewise(b"To: p", b"To: q"), {"addressed_right"}),
    "to two": (
        lambda letter: bytewise(
            b"To: " + letter.recipient.encode(),
            b"To: " + letter.recipient.encode() + b", x@example.org",
        )(letter),
        {"addressed_right"},
    ),
    # what a mail client would fetch, who clicked (TRK-03)
    "a remote image": (
        in_part("html", "</body>", '<img src="https://t.example.org/p.gif"></body>'),
        {"undeclared_parts", "remote_fetches"},
    ),
    "a background from afar": (
        in_part("html", "</body>", "<p style='background:url(//t.example.org)'>.</p></body>"),
        {"undeclared_parts", "remote_fetches"},
    ),
    "a link with a query": (
        in_part("html", 'href="https://prairie.example.org/"', 'href="https://prairie.example.org/?u=1"'),
        {"undeclared_parts", "tracking_links"},
    ),
    "a link with a fragment, without quotes": (
        in_part("html", "</body>", "<a href=https://t.example.org/#u>.</a></body>"),
        {"undeclared_parts", "tracking_links"},
    ),
    "a link that writes home": (
        in_part("html", "</body>", '<a href="mailto:x@example.org">.</a></body>'),
        {"undeclared_parts", "tracking_links"},
    ),
    "a link in the clear": (
        in_part("html", "</body>", '<a href="http://example.org/">.</a></body>'),
        {"undeclared_parts", "tracking_links"},
    ),
    # size (EML-01)
    "more than 100 kB": (
        lambda letter: replace(
            letter, message=own_line(b"DKIM-Signature").sub(LONG_FOLDED + b"\r\n", letter.message)
        ),
        {"octets"},
    ),
    "a line longer than SMTP allows": (
        bytewise(b"DKIM-Signature: v=1;", b"DKIM-Signature: v=1;" + b" " * 999),
        {"longest_line"},
    ),
}  # fmt: skip


def red_of(error: GateError) -> set[str]:
    return set(re.findall(r"expect_[a-z_]+ on ([a-z_]+)", str(error)))


@pytest.mark.parametrize("name", TAMPERED)
def test_a_letter_that_was_changed_is_named_and_none_of_its_chunk_is_marked(
    name: str, letters: Letters
) -> None:
    """PRV-18, PRV-20, EML-01, EML-02, TRK-03, TRK-05."""
    tamper, red = TAMPERED[name]
    letters.tamper(tamper)
    with pytest.raises(GateError) as refused:
        check_letters(letters.run, CHUNK)
    assert red_of(refused.value) == red
    assert "expectations/letters.json" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert letters.checked() == 0


def test_two_letters_with_one_message_id_are_named(letters: Letters) -> None:
    [first, second] = [own_line(b"Message-ID").search(letters.opened(i).message) for i in (0, 1)]
    assert first
    assert second
    letters.tamper(bytewise(second.group(), first.group()))
    with pytest.raises(GateError) as refused:
        check_letters(letters.run, CHUNK)
    assert red_of(refused.value) == {"message_id", "foreign_headers"}
    assert letters.checked() == 0


def test_every_expectation_of_the_suite_has_a_letter_that_trips_it() -> None:
    wanted = {entry.kwargs["column"] for entry in load_suite(HOME, "letters").entries}
    assert wanted == {"message_id"}.union(*(red for _, red in TAMPERED.values()))


def test_sound_letters_are_marked_once(letters: Letters) -> None:
    assert check_letters(letters.run, CHUNK) == 3
    assert letters.checked() == 3
    assert check_letters(letters.run, CHUNK) == 0


def test_frames_before_a_bad_one_stay_checked(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "FRAME_LETTERS", 1)
    letters.tamper(prepended(b"X-Patient: canary"), index=1)
    with pytest.raises(GateError):
        check_letters(letters.run, CHUNK)
    assert letters.checked() == 1
    letters.restore()
    assert check_letters(letters.run, CHUNK) == 3


def test_one_letter_is_open_at_a_time(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame holds what was found of its letters: memory does not grow with the chunk."""
    opened: list[ReferenceType[Draft]] = []
    seen = checking.facts

    def watched(run: Run, draft: Draft, words: Mapping[str, Wording]) -> dict[str, Any]:
        assert [one for one in opened if one() is not None] == []
        opened.append(ref(draft))
        return seen(run, draft, words)

    monkeypatch.setattr(checking, "facts", watched)
    assert check_letters(letters.run, CHUNK) == len(opened) == 3


# --- sound letters that look odd ---

ODD = (
    "O'Brien & \"Söns\" <b>x</b>", "&amp;", "&lt;", "=20=3D", "\N{FULL BLOCK} \N{FULL BLOCK}",
    "SMALL STEPS, GOOD HEALTH", "Hello", "Hello Hello", ",", ", ,", "--", "--=_", ".", "..",
    "{{ x }}", "{% x %}", "%s", "\\1", "\u00ad", "Ωمرحبا你好", "a" * 900,
    "https://example.org/?u=1", "</body>", "<!--", "]]>", "\N{ZERO WIDTH JOINER}x", "x\u00a0y",
    "From here",
    "Subject: x",
    "'", '"', "é", "e\u0301",
)  # fmt: skip


def test_values_with_odd_characters_pass(practice: Practice) -> None:
    for number, value in enumerate(ODD):
        language = "es" if number % 2 else "en"
        patient = {"given_name": value, "language": language}
        practice.world.patient(f"p{number}", patient=patient, appointment=None)
    no_holdout(practice.settings.home)
    run = composed(practice, "health_education")
    assert check_letters(run, CHUNK) == len(ODD)


def test_values_that_begin_one_another_pass(practice: Practice) -> None:
    pairs = [("Lisinopril", "Lisinopril 10 MG"), ("10", "10"), ("Dosage:", "Medicine:"),
             ("A\n  Dosage:  B", "B"), ("B", "A Dosage: B"), ("<b>", "<b>&")]  # fmt: skip
    for number, (name, dosage) in enumerate(pairs):
        medicine = {"name": name, "dosage_text": dosage}
        practice.world.patient(f"p{number}", medication=medicine)
    run = composed(practice, "medication_reminder")
    assert check_letters(run, CHUNK) == len(pairs)


def test_each_field_stands_in_its_own_place_and_a_missing_one_stays_blank() -> None:
    one, two, three = (f"{BLANK}{name}{BLANK}" for name in ("one", "two", "three"))
    assert filled_in(f"{one}, {two} {three} {one}", {"one": two, "two": "2"}) == (
        f"{two}, 2 {three} {two}"
    )


def test_two_fields_in_each_others_places_are_red(practice: Practice) -> None:
    practice.world.patient("p1", medication={"name": "Metformin", "dosage_text": "500 MG"})
    run = composed(practice, "medication_reminder")

    def swapped(letter: Addressed) -> Addressed:
        declared = {"name": letter.declared["dosage"], "dosage": letter.declared["name"]}
        return replace(letter, declared=declared)

    Letters(practice, run).tamper(swapped, index=0)
    with pytest.raises(GateError, match="undeclared_parts"):
        check_letters(run, CHUNK)


# --- what was not checked is not sent ---


def test_an_unchecked_letter_is_never_sent_and_not_settled(
    practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1")
    run = composed(practice, "appointment_reminder")
    hostile.connections = 0
    assert send(run, CHUNK) == {"composed": 1}
    assert hostile.letters == []
    with pytest.raises(StoreError, match=r"unaccounted for: \{'composed': 1\}"):
        settle(run)
    check_letters(run, CHUNK)
    assert send(run, CHUNK) == {"sent": 1}
    assert settle(run) == {"sent": 1}


def test_letters_composed_at_another_time_of_the_day_are_checked_as_well(
    practice: Practice,
) -> None:
    practice.world.patient("p1")
    run = composed(practice, "appointment_reminder")
    later = replace(run.settings, pinned_now=NOW.replace(hour=20))
    assert check_letters(replace(run, settings=later), CHUNK) == 1
