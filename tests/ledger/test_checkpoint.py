"""Signed notes: the specification's own example, one spelling each, and whose signature counts.

LOG-05, LOG-06, LOG-07.
"""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from reengage.errors import LedgerError
from reengage.ledger.checkpoint import (
    Checkpoint,
    VerifierKey,
    _parts,
    open_note,
    sign,
    verifier_of,
)

NAME = "reengage/00000000-0000-4000-8000-000000000000"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = verifier_of(NAME, PRIVATE)
SAID = Checkpoint(NAME, 313, bytes(range(32)))
NOTE = sign(SAID, NAME, PRIVATE)
TEXT, LINE = NOTE.split("\n\n")

# The example of C2SP's signed-note.md, and of the package golang.org/x/mod/sumdb/note.
EXAMPLES = {
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k": (
        "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6T"
        "fXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    ),
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW": (
        "If you think cryptography is the answer to your problem,\nthen you don't know what your"
        " problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1"
        "FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    ),
}


def signed(text: str) -> str:
    """A note over any text whatever, properly signed."""
    packed = base64.b64encode(KEY.key_id + PRIVATE.sign(text.encode())).decode()
    return f"{text}\n\u2014 {NAME} {packed}\n"


@pytest.mark.parametrize("key", EXAMPLES)
def test_the_specifications_own_examples_verify(key: str) -> None:
    text, ((name, packed),) = _parts(EXAMPLES[key])
    found = VerifierKey.parse(key)
    assert found.text == key
    assert (found.name, found.key_id) == (name, packed[:4])
    assert found.signed(text.encode(), packed[4:])
    assert not found.signed(text.encode() + b"\n", packed[4:])
    with pytest.raises(LedgerError, match="its text is no checkpoint"):
        open_note(EXAMPLES[key], [found])


def test_what_was_signed_is_read_again() -> None:
    assert open_note(NOTE, [KEY]) == SAID
    assert signed(SAID.text) == NOTE
    assert TEXT.split("\n") == [NAME, "313", base64.b64encode(SAID.root).decode()]
    assert VerifierKey.parse(f"{KEY.text}\n") == KEY


@pytest.mark.parametrize(
    "text",
    [
        f"{NAME}\n0313\n{TEXT.split()[2]}\n",
        f"{NAME}\n+313\n{TEXT.split()[2]}\n",
        f"{NAME}\n-1\n{TEXT.split()[2]}\n",
        f"{NAME}\n\u0663\n{TEXT.split()[2]}\n",
        f"{NAME}\n{'9' * 5000}\n{TEXT.split()[2]}\n",
        f"{NAME}\n\n{TEXT.split()[2]}\n",
        f"\n313\n{TEXT.split()[2]}\n",
        f"{NAME}\n313\n",
        f"{NAME}\n313\n{TEXT.split()[2]}\nextension\n",
        f"{NAME}\n313\n{TEXT.split()[2].rstrip('=')}\n",
        f"{NAME}\n313\n{TEXT.split()[2]}=\n",
        f"{NAME}\n313\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{NAME}\n313\n{TEXT.split()[2][:-2]}9=\n",
        f"{NAME}\n313\n\n",
    ],
)
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    with pytest.raises(LedgerError, match=r"no checkpoint|root is not a SHA-256|no signed note"):
        open_note(signed(text), [KEY])


@pytest.mark.parametrize(
    "note",
    [
        "", "\n\n", TEXT, f"{TEXT}\n", f"{TEXT}\n\n", NOTE.rstrip("\n"), f"{NOTE}\n",
        NOTE.replace("\n", "\r\n"), NOTE.replace("\u2014", "-"), NOTE.replace("\u2014 ", "\u2014"),
        NOTE.replace("313", "313\t"), f"{NOTE}\u2014 {NAME} AAAA\n", f"{NOTE}{LINE[:-3]}\n",
        f"{NOTE}\u2014 two words {LINE.split()[2]}\n", f"{NOTE}\u2014 {NAME} \n",
    ],
)  # fmt: skip
def test_what_is_no_signed_note_is_refused(note: str) -> None:
    with pytest.raises(LedgerError, match="no signed note"):
        open_note(note, [KEY])


def test_a_signature_of_an_unknown_key_is_passed_over() -> None:
    stranger = sign(SAID, "example.org/witness", OTHER).split("\n\n")[1]
    same_name = sign(SAID, NAME, OTHER).split("\n\n")[1]
    assert open_note(f"{TEXT}\n\n{stranger}{LINE}{same_name}", [KEY]) == SAID
    for line in (stranger, same_name, stranger + same_name):
        with pytest.raises(LedgerError, match="no key that is trusted here signed it"):
            open_note(f"{TEXT}\n\n{line}", [KEY])
    with pytest.raises(LedgerError, match="no key that is trusted here signed it"):
        open_note(NOTE, [])


def test_a_known_key_whose_signature_fails_condemns_the_note() -> None:
    other = verifier_of(NAME, OTHER)
    broken = sign(Checkpoint(NAME, 312, SAID.root), NAME, OTHER).split("\n\n")[1]
    assert open_note(f"{TEXT}\n\n{LINE}{broken}", [KEY]) == SAID
    with pytest.raises(LedgerError, match=f"the signature of {NAME} does not fit"):
        open_note(f"{TEXT}\n\n{LINE}{broken}", [KEY, other])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "not of the form"),
        (KEY.text.replace("+", "-"), "not of the form"),
        (KEY.text[:-1], "not of the form"),
        (f"{KEY.text}\n{KEY.text}", "not of the form"),
        (KEY.text.replace("reengage/", "re engage/"), "not of the form"),
        (f"{NAME}+{KEY.key_id.hex()}+{base64.b64encode(bytes([4, *KEY.public])).decode()}", "form"),
        (KEY.text.replace(KEY.key_id.hex(), "00000000"), "its id does not belong"),
        (KEY.text.replace("reengage/0", "reengage/1"), "its id does not belong"),
    ],
)
def test_a_verifier_key_that_is_none_is_refused(key: str, said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        VerifierKey.parse(key)
