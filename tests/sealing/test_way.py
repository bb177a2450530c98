"""The decision, over every combination of recipient, vendor and relay (PRV-24, EML-17, EML-23)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from reengage.sealing.way import Means, NoWay, Recipient, Way, choose, still_holds

SMIME, PORTAL = Way("smime", "certificate"), Way("portal", "link")
BY_RELAY, BY_CONTRACT = Way("tls", "requiretls"), Way("tls", "contract")
FAULT = "certificate_expired"

NONE = Recipient()
SOUND = Recipient(has_certificate=True, reads_authenticated=True)
CLIENT_UNKNOWN = Recipient(has_certificate=True)
FAULTY = Recipient(has_certificate=True, fault=FAULT, reads_authenticated=True)
FAULTY_CLIENT_UNKNOWN = Recipient(has_certificate=True, fault=FAULT)

# What a recipient gets: without a portal, with one. `-` = the means do not matter.
# recipient, practice signs, REQUIRETLS, contract -> way without a portal, way with one
TABLE: dict[tuple[str, bool, bool, bool], tuple[Way | NoWay, Way]] = {
    ("none", False, False, False): (NoWay("no_safe_way"), PORTAL),
    ("none", False, False, True): (BY_CONTRACT, BY_CONTRACT),
    ("none", False, True, False): (BY_RELAY, BY_RELAY),
    ("none", False, True, True): (BY_RELAY, BY_RELAY),
    ("none", True, False, False): (NoWay("no_safe_way"), PORTAL),
    ("none", True, False, True): (BY_CONTRACT, BY_CONTRACT),
    ("none", True, True, False): (BY_RELAY, BY_RELAY),
    ("none", True, True, True): (BY_RELAY, BY_RELAY),
    ("sound", False, False, False): (NoWay("no_signing_certificate"), PORTAL),
    ("sound", False, False, True): (NoWay("no_signing_certificate"), PORTAL),
    ("sound", False, True, False): (NoWay("no_signing_certificate"), PORTAL),
    ("sound", False, True, True): (NoWay("no_signing_certificate"), PORTAL),
    ("sound", True, False, False): (SMIME, SMIME),
    ("sound", True, False, True): (SMIME, SMIME),
    ("sound", True, True, False): (SMIME, SMIME),
    ("sound", True, True, True): (SMIME, SMIME),
    **{
        ("client unknown", *means): (NoWay("certificate_client_unknown"), PORTAL)
        for means in product((False, True), repeat=3)
    },
    **{
        (name, *means): (NoWay(FAULT), PORTAL)
        for name in ("faulty", "faulty, client unknown")
        for means in product((False, True), repeat=3)
    },
}
RECIPIENTS = {
    "none": NONE,
    "sound": SOUND,
    "client unknown": CLIENT_UNKNOWN,
    "faulty": FAULTY,
    "faulty, client unknown": FAULTY_CLIENT_UNKNOWN,
}
CASES = [(*key, portal) for key in TABLE for portal in (False, True)]


@pytest.mark.parametrize(("recipient", "signs", "requires_tls", "by_contract", "portal"), CASES)
def test_every_combination_has_its_way(
    recipient: str, signs: bool, requires_tls: bool, by_contract: bool, portal: bool
) -> None:
    means = Means(signs, by_contract, requires_tls, portal)
    expected = TABLE[recipient, signs, requires_tls, by_contract][portal]
    assert choose(RECIPIENTS[recipient], means) == expected


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(product(RECIPIENTS, *[(False, True)] * 3))
    assert len(CASES) == 80


def test_what_the_table_does_not_name_makes_no_difference() -> None:
    """A client that reads AEAD, without a certificate, is a recipient without one."""
    for means in (Means(*some) for some in product((False, True), repeat=4)):
        reads = replace(NONE, reads_authenticated=True)
        assert choose(reads, means) == choose(NONE, means)


def test_losing_a_means_never_sends_a_letter_a_weaker_way_to_who_has_a_certificate() -> None:
    """Whoever has a certificate is written to end to end, whatever is lost (EML-23)."""
    for recipient in (SOUND, CLIENT_UNKNOWN, FAULTY, FAULTY_CLIENT_UNKNOWN):
        for means in (Means(*some) for some in product((False, True), repeat=4)):
            found = choose(recipient, means)
            assert isinstance(found, NoWay) or found.mode in ("smime", "portal")


@pytest.mark.parametrize(
    ("way", "without"),
    [(BY_RELAY, "requires_tls"), (BY_CONTRACT, "by_contract"), (PORTAL, "portal")],
)
def test_a_way_holds_as_long_as_what_it_rests_on(way: Way, without: str) -> None:
    everything = Means(True, True, True, True)
    assert still_holds(way, everything)
    assert not still_holds(way, replace(everything, **{without: False}))
    nothing_else = replace(Means(False, False, False, False), **{without: True})
    assert still_holds(way, nothing_else)


def test_a_letter_under_a_certificate_asks_the_certificate_itself() -> None:
    assert still_holds(SMIME, Means(False, False, False, False))
