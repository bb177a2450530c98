"""The sealing half of portal mode: the key is in the fragment and nowhere else."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage.errors import KeyringError
from reengage.sealing.portal import BLOCK, Page, deposit, key_of, pick_up

PORTAL = "https://portal.example.org/m/"
PAGE = Page("Your appointment", "At nine", "<p>At nine</p>")


def test_the_link_opens_its_letter() -> None:
    left = deposit(PAGE)
    found = key_of(left.link(PORTAL), portal_url=PORTAL)
    assert found is not None
    message_id, key = found
    assert pick_up(left.ciphertext, key=key, message_id=message_id) == PAGE


@given(st.builds(Page, st.text(), st.text(), st.text()))
def test_any_text_comes_back_as_it_was(page: Page) -> None:
    try:
        page.subject.encode(), page.text.encode(), page.html.encode()
    except UnicodeEncodeError:  # lone surrogates, which no template renders
        return
    left = deposit(page)
    assert pick_up(left.ciphertext, key=left.key, message_id=left.message_id) == page


def test_the_key_is_in_the_fragment_which_no_server_gets() -> None:
    left = deposit(PAGE)
    parts = urlsplit(left.link(PORTAL))
    key = base64.urlsafe_b64decode(parts.fragment + "=")
    assert key == left.key
    assert parts.fragment not in parts.path + parts.query + parts.netloc
    assert key not in left.ciphertext


def test_key_and_message_id_are_drawn_anew_for_each_letter() -> None:
    made = [deposit(PAGE) for _ in range(50)]
    assert len({one.key for one in made} | {one.message_id for one in made}) == 100
    assert len({one.ciphertext[:13] for one in made}) == 50


def test_no_message_id_begins_with_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives it to a command line would give an option."""
    drawn = iter([b"\xf8" + bytes(15), b"\xfb" + bytes(15), bytes(16), bytes(32), bytes(12)])
    monkeypatch.setattr("secrets.token_bytes", lambda size: next(drawn))
    assert deposit(PAGE).message_id == "A" * 22


def test_every_flipped_bit_of_the_ciphertext_its_tag_and_its_nonce_is_refused() -> None:
    left = deposit(Page("s", "t", "h"))
    for bit in range(len(left.ciphertext) * 8):
        altered = bytearray(left.ciphertext)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeyringError):
            pick_up(bytes(altered), key=left.key, message_id=left.message_id)


def test_a_letter_opens_for_its_own_message_id_only() -> None:
    """Associated data: two rows of the portal's table cannot be exchanged."""
    left, other = deposit(PAGE), deposit(PAGE)
    with pytest.raises(KeyringError):
        pick_up(left.ciphertext, key=left.key, message_id=other.message_id)
    for position in range(len(left.message_id)):
        swapped = "A" if left.message_id[position] != "A" else "B"
        renamed = left.message_id[:position] + swapped + left.message_id[position + 1 :]
        with pytest.raises(KeyringError):
            pick_up(left.ciphertext, key=left.key, message_id=renamed)


@pytest.mark.parametrize("key", [b"", b"\x00" * 16, b"\x00" * 32])
def test_another_key_opens_nothing(key: bytes) -> None:
    left = deposit(PAGE)
    with pytest.raises(KeyringError):
        pick_up(left.ciphertext, key=key, message_id=left.message_id)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01" * 20, b"\x02" + b"\x00" * 60])
def test_what_is_no_letter_is_refused_as_any_other(content: bytes) -> None:
    left = deposit(PAGE)
    with pytest.raises(KeyringError, match="does not open"):
        pick_up(content, key=left.key, message_id=left.message_id)


def test_the_length_does_not_tell_one_kind_of_letter_from_another() -> None:
    short, long = deposit(Page("a", "b", "c")), deposit(Page("a" * 50, "b" * 1000, "c" * 2500))
    assert len(short.ciphertext) == len(long.ciphertext) == BLOCK + 29


@pytest.mark.parametrize(
    "link",
    [
        "https://portal.example.org/m/",
        "https://portal.example.org/m/AAAAAAAAAAAAAAAAAAAAAA",
        "https://portal.example.org/m/AAAAAAAAAAAAAAAAAAAAAA#short",
        "https://elsewhere.example.org/m/AAAAAAAAAAAAAAAAAAAAAA#" + "A" * 43,
        "https://portal.example.org/m/../AAAAAAAAAAAAAAAAAAA#" + "A" * 43,
        "https://portal.example.org/m/AAAAAAAAAAAAAAAAAAAAAA#" + "A" * 42 + "=",
    ],
)
def test_a_link_that_is_none_of_the_portals_names_nothing(link: str) -> None:
    assert key_of(link, portal_url=PORTAL) is None


def test_nothing_of_a_deposit_is_shown() -> None:
    left = deposit(PAGE)
    assert left.message_id in repr(left)
    assert "key" not in repr(left)
    assert "ciphertext" not in repr(left)
