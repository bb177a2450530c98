"""The second factor's hash: keyed, salted by the letter, slow, and comparable for people."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from time import process_time

import pytest
from reengage.sealing.factor import LABEL, Factor, comparable, is_right, verifier

KNOWN = Factor(date(1956, 3, 14), "68102")
ONE, OTHER = "a" * 22, "b" * 22


def keyed(label: str, content: bytes) -> bytes:
    return hmac.digest(b"key", label.encode() + content, "sha256")


def other_key(label: str, content: bytes) -> bytes:
    return hmac.digest(b"another", label.encode() + content, "sha256")


def test_it_is_scrypt_over_a_keyed_hash_as_the_standard_library_has_them() -> None:
    inner = keyed(LABEL, b"1956-03-14\x0068102")
    outer = hashlib.scrypt(inner, salt=ONE.encode(), n=16384, r=8, p=1, dklen=32, maxmem=1 << 26)
    assert verifier(KNOWN, ONE, keyed) == b"\x01" + outer


def test_the_right_answer_for_this_letter_under_this_key_is_right_and_no_other() -> None:
    known = verifier(KNOWN, ONE, keyed)
    assert is_right(KNOWN, ONE, known, keyed)
    assert not is_right(Factor(date(1956, 3, 15), "68102"), ONE, known, keyed)
    assert not is_right(Factor(KNOWN.birth_date, "68103"), ONE, known, keyed)
    assert not is_right(KNOWN, OTHER, known, keyed)
    assert not is_right(KNOWN, ONE, known, other_key)
    assert not is_right(KNOWN, ONE, None, keyed)
    assert not is_right(KNOWN, ONE, bytes(33), keyed)


def test_where_there_is_no_letter_it_takes_as_long() -> None:
    began = process_time()
    is_right(KNOWN, ONE, None, keyed)
    assert process_time() - began > 0.01


def test_it_shows_nothing_of_an_answer() -> None:
    assert "1956" not in repr(KNOWN)
    assert "68102" not in repr(KNOWN)


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("zip", "68102", "68102"), ("zip", " 68102-1234 ", "68102"), ("zip", "681021234", "68102"),
        ("zip", "6810", None), ("zip", "", None), ("zip", "68102x", None),
        ("zip", "６８１０２", None),
        ("patient_number", "AB/00 12c", "ab0012c"), ("patient_number", " - ", None),
        ("patient_number", "É1", "1"),
    ],
)  # fmt: skip
def test_what_people_write_is_made_comparable(kind, said: str, found: str | None) -> None:
    assert comparable(kind, said) == found
