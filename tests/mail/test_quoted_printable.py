"""Quoted-printable: whatever the text, whole or in pieces, it decodes to itself (EML-01)."""

from __future__ import annotations

import re
from binascii import a2b_qp
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.mail import quoted_printable

# Often what an encoder must look at twice: its own sign, points, spaces, line ends, octet counts.
AWKWARD = st.sampled_from(
    ["=", ".", " ", "\t", "\r\n", "\r\n.\r\n", "From ", "\r\nFrom ", "é", "=\r\n", "=20",
     " " * 74, "x" * 73, "x" * 74, "x" * 75, "x" * 76, "x" * 77, "é" * 13, "\N{FULL BLOCK}"]
)  # fmt: skip
TEXTS = st.lists(
    AWKWARD | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=12
).map("".join)


def is_sound(encoded: bytes) -> bool:
    """Within the bounds of RFC 2045 section 6.7, line by line."""
    lines = encoded.split(b"\r\n")
    return not (
        re.search(rb"[^\t\r\n -~]|\r(?!\n)|(?<!\r)\n", encoded)
        or [line for line in lines if len(line) > 76 or line[-1:] in (b" ", b"\t")]
        or [line for line in lines if line.startswith(b"From ")]
    )


@given(TEXTS)
def test_a_whole_text_decodes_to_its_lines(text: str) -> None:
    encoded = quoted_printable.whole(text)
    assert is_sound(encoded)
    assert a2b_qp(encoded).decode() == quoted_printable.lines(text)
    assert encoded == b"" or encoded.endswith(b"\r\n")


@given(TEXTS, st.lists(st.integers(0, 400)))
def test_pieces_joined_decode_to_the_text_wherever_it_was_cut(text: str, cuts: list[int]) -> None:
    text = quoted_printable.lines(text)
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    # Between CR and LF nobody cuts: no field ends in one.
    at = [cut for cut in at if text[cut - 1 : cut + 1] != "\r\n"]
    pieces = [text[start:end] for start, end in pairwise(at)]
    encoded = b"".join(map(quoted_printable.piece, pieces))
    assert is_sound(encoded)
    assert a2b_qp(encoded).decode() == text


def test_an_empty_piece_takes_no_room() -> None:
    assert quoted_printable.piece("") == b""


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("Clínica", b"Cl=C3=ADnica=\r\n"),
        ("a line\r\n", b"a line\r\n"),
        ("a value ", b"a value =\r\n"),
        ("a line \r\n", b"a line=20\r\n"),
        ("1 = 1", b"1 =3D 1=\r\n"),
        ("From here", b"=46=\r\nrom here=\r\n"),
    ],
)
def test_it_is_written_as_a_person_would(text: str, encoded: bytes) -> None:
    assert quoted_printable.piece(text) == encoded
