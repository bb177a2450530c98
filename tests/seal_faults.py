"""Every reason for which a letter cannot be sealed, and a patient p1 to whom it applies.

Without a portal each excludes; with one the letter waits there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from sealed import House
from world import NOW

ADDRESS = "p1@example.org"
Fault = Callable[[House], object]


def _certified(**more: object) -> Fault:
    return lambda house: house.patient(
        "p1", certificate=house.correspondents.certify(ADDRESS, **more), reads=True
    )


def _weak(house: House) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = house.correspondents.odd(ADDRESS, key=key.public_key())
    house.patient("p1", certificate=pem, reads=True)


def _without_a_list(house: House) -> None:
    house.certified("p1", reads=True)
    (house.correspondents.trust / "crl" / "sample.pem").unlink()


FAULTY: dict[str, Fault] = {
    "certificate_malformed": lambda h: h.patient("p1", certificate="no certificate", reads=True),
    "certificate_too_large": lambda h: h.patient("p1", certificate="x" * 10_000_000, reads=True),
    "certificate_not_yet_valid": lambda h: h.patient(
        "p1", certificate=h.correspondents.odd(ADDRESS, begins=NOW + timedelta(days=1)), reads=True
    ),
    "certificate_expired": _certified(expired=True),
    "certificate_wrong_address": lambda h: h.patient(
        "p1", certificate=h.correspondents.certify("p2@example.org"), reads=True
    ),
    "certificate_weak_key": _weak,
    "certificate_wrong_usage": lambda h: h.patient(
        "p1", certificate=h.correspondents.odd(ADDRESS, signs_only=True), reads=True
    ),
    "certificate_untrusted": lambda h: h.patient(
        "p1", certificate=h.correspondents.stranger().certify(ADDRESS), reads=True
    ),
    "certificate_revoked": _certified(revoked=True),
    "certificate_revocation_unknown": _without_a_list,
    "certificate_client_unknown": lambda h: h.certified("p1"),
}
"""Of a certificate on file; the practice signs, and TLS is guaranteed."""
LACKING = ("no_signing_certificate", "no_safe_way")
"""Of what the practice has to seal with: tests of their own in test_sealed_letters.py."""
